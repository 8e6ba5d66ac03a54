// How deep JSON from outside is nested, told from its text. Parsing a megabyte of brackets takes a second and more memory than a
// hundred megabytes, and whoever walks through the value afterwards needs as much again. So deep JSON is refused before it is
// parsed. Pure.

/** Deeper than anything that people write, and shallow enough for every recursive function. */
export const MAX_JSON_DEPTH = 500;

const [QUOTE, BACKSLASH] = ['"', "\\"].map((one) => one.charCodeAt(0));
const OPENING = new Set([..."[{"].map((one) => one.charCodeAt(0)));
const CLOSING = new Set([..."]}"].map((one) => one.charCodeAt(0)));

/** Brackets inside of strings do not count. Takes one step for each character, and stops where it is too deep. */
export function isTooDeep(json: string): boolean {
  let depth = 0;
  let isString = false;
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) isString = !isString;
    else if (isString) at += code === BACKSLASH ? 1 : 0;
    else if (CLOSING.has(code)) depth -= 1;
    else if (OPENING.has(code) && ++depth > MAX_JSON_DEPTH) return true;
  }
  return false;
}
