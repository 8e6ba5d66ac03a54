// Owns how much structure a JSON text from outside may have, a message or what a server answers. Each value takes many times the memory and the time of the few bytes that
// write it, and code that follows nested values needs stack or memory for each level. So both are counted in the text, before it is
// parsed. How many bytes a text may have is left to whoever receives it. Pure.

import { KamadoError } from "../errors.ts";

/** An input of an honest job has some thousands at most. */
export const MAX_VALUES = 50_000;
export const MAX_NESTING = 100;

/** What is too much: the number of values or their nesting. Null when nothing is. The text need not be JSON. */
export function excessOf(text: string): string | null {
  let [values, depth] = [1, 0];
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"') at = endOfString(text, at);
    else if (char === "]" || char === "}") depth--;
    else if (char === "," || char === "[" || char === "{") {
      values++;
      if (char !== ",") depth++;
    }
    if (values > MAX_VALUES) return `has more than ${MAX_VALUES} values`;
    if (depth > MAX_NESTING) return `is nested deeper than ${MAX_NESTING} levels`;
  }
  return null;
}

/** The same of a value that was parsed elsewhere. */
export function excessOfValue(value: unknown): string | null {
  try {
    return excessOf(JSON.stringify(value) ?? "");
  } catch {
    // It is so deep that it cannot be written either.
    return `is nested deeper than ${MAX_NESTING} levels`;
  }
}

/** Throws `invalid_envelope` for a message body, or a part of one, with too much of it. */
export function refuseExcess(text: string): void {
  const excess = excessOf(text);
  if (excess === null) return;
  const advice = "Send large data as an object in the bucket.";
  throw new KamadoError("invalid_envelope", `The body ${excess}. ${advice}`);
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
