// What JSON from outside may be like, told from its text before it is parsed. Parsing a megabyte of brackets takes a second and more
// memory than a hundred megabytes, and whoever walks through the value afterwards needs as much again. Long texts cost little. Pure.

/** Deeper than anything that people write, and shallow enough for every recursive function. */
export const MAX_JSON_DEPTH = 500;
/** As many as a whole message has, so that only what is behind a pointer or comes in an answer can have more. */
export const MAX_JSON_STRUCTURE = 1024 * 1024;

const [QUOTE, BACKSLASH] = ['"', "\\"].map((one) => one.charCodeAt(0));
const OPENING = new Set([..."[{"].map((one) => one.charCodeAt(0)));
const CLOSING = new Set([..."]}"].map((one) => one.charCodeAt(0)));

/** Why the text must not be parsed, or null. Takes one step for each character, and stops where it knows. */
export function whyTooComplex(json: string): string | null {
  let depth = 0;
  let structure = 0;
  let isString = false;
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) isString = !isString;
    else if (isString) {
      if (code === BACKSLASH) at += 1;
      continue;
    }
    if (++structure > MAX_JSON_STRUCTURE)
      return `has more than ${MAX_JSON_STRUCTURE} characters and quotes outside of its texts`;
    if (CLOSING.has(code)) depth -= 1;
    else if (OPENING.has(code) && ++depth > MAX_JSON_DEPTH)
      return `is nested deeper than ${MAX_JSON_DEPTH} levels`;
  }
  return null;
}
