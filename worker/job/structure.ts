// Owns how much structure the JSON of a message may have. Each value takes many times the memory and the time of the few bytes that
// write it, and code that follows nested values needs stack or memory for each level. So both are counted in the text, before it is
// parsed. How many bytes a message may have is left to whoever receives it. Pure.
import { KamadoError } from "../errors.ts";

/** An input of an honest job has some thousands at most. */
export const MAX_VALUES = 50_000;
export const MAX_NESTING = 100;

/** Throws `invalid_envelope` when the text has too many values, or values that are nested too deeply. Need not be JSON. */
export function checkStructure(text: string): void {
  let [values, depth] = [1, 0];
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"') at = endOfString(text, at);
    else if (char === "]" || char === "}") depth--;
    else if (char === "," || char === "[" || char === "{") {
      values++;
      if (char !== ",") depth++;
    }
    if (values > MAX_VALUES) throw tooMuch(`has more than ${MAX_VALUES} values`);
    if (depth > MAX_NESTING) throw tooMuch(`is nested deeper than ${MAX_NESTING} levels`);
  }
}

/** Where the string ends that begins at `start`. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end === -1 ? text.length : end;
}

function isEscaped(text: string, at: number): boolean {
  let before = at;
  while (text[before - 1] === "\\") before--;
  return (at - before) % 2 === 1;
}

const tooMuch = (what: string) =>
  new KamadoError("invalid_envelope", `The body ${what}. Send large data as an object in the bucket.`);
