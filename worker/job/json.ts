// Reads JSON that others wrote: messages, objects, what services answer, files. Owns how bytes become text, what may stand around the
// JSON, and numbers that JavaScript cannot hold. How much structure a text may have is left to structure.ts; what a value means, to
// its reader. Pure.

/**
 * The value of a JSON text. A number that a double would turn into another one, such as 9007199254740993, becomes the string of its
 * digits: an id stays what it is, and a field that must be a number refuses it. Throws `SyntaxError`.
 */
export function parseJson(text: string): unknown {
  const json = withoutEnds(text);
  // A reviver makes parsing several times slower, so it runs only where such a number may be.
  return MAY_BE_INEXACT.test(json) ? JSON.parse(json, keepNumber as Reviver) : JSON.parse(json);
}

type Reviver = (key: string, value: unknown) => unknown;
const MAY_BE_INEXACT = /\d{16}|\d[eE][+-]?\d/;

function keepNumber(_: string, value: unknown, { source = "" }: { source?: string } = {}): unknown {
  return typeof value !== "number" || isKept(source, value) ? value : exactText(source);
}

/** Whether a number in JSON keeps its value as a double. A fraction may lose digits, as every decimal fraction does. */
function isKept(source: string, value: number): boolean {
  if (value === 0) return !/^[^eE]*[1-9]/.test(source);
  if (Math.abs(value) < 2 ** 53) return true;
  return Number.isFinite(value) && decimalOf(source)?.normal === decimalOf(String(value))?.normal;
}

/** Characters of a number. To compare longer ones would take long. */
const MAX_NUMBER = 100;
/** Of an integer that is written with an exponent, and kept without one. */
const MAX_DIGITS = 40;

/** The same for all ways to write a number. Null for what is no number in JSON. */
function decimalOf(
  source: string,
): { normal: string; sign: string; digits: string; exponent: number } | null {
  const found = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(source.slice(0, MAX_NUMBER + 1));
  if (!found || source.length > MAX_NUMBER) return null;
  const [, sign = "", whole = "", fraction = "", power = "0"] = found;
  const all = `${whole}${fraction}`.replace(/^0+/, "");
  // Looks at each row of zeros once: without the lookbehind, a row in the middle is read anew from each of its zeros.
  const digits = all.replace(/(?<!0)0+$/, "");
  const exponent = Number(power) - fraction.length + all.length - digits.length;
  return { normal: `${sign}${digits}e${exponent}`, sign, digits, exponent };
}

/** All digits of an integer, however it is written; any other number as it stands. */
function exactText(source: string): string {
  const decimal = decimalOf(source);
  if (!decimal || decimal.exponent < 0 || decimal.digits.length + decimal.exponent > MAX_DIGITS)
    return source;
  return `${decimal.sign}${decimal.digits}${"0".repeat(decimal.exponent)}`;
}

/** The number that a text is in JSON. Null for another text, and for a number that a double cannot keep. */
export function numberIn(text: string): number | null {
  return isNumber(text) && isKept(text, Number(text)) ? Number(text) : null;
}

export const isNumber = (text: string): boolean =>
  text.length <= MAX_NUMBER && /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text);

/** Byte order marks and white space; C programs send the NUL that ends their strings. */
const AROUND = new Set([..."\ufeff\0 \t\r\n"]);

/** The text without what may stand around its JSON. */
export function withoutEnds(text: string): string {
  let [from, to] = [0, text.length];
  while (from < to && AROUND.has(text[from]!)) from++;
  while (to > from && AROUND.has(text[to - 1]!)) to--;
  return text.slice(from, to);
}

/** The text of JSON bytes: UTF-8 or UTF-16, with or without a byte order mark. Throws `TypeError` for bytes that are neither. */
export function jsonText(bytes: Uint8Array): string {
  return new TextDecoder(encodingOf(bytes), { fatal: true }).decode(bytes);
}

/** JSON begins with an ASCII character, so a zero byte in its first two tells UTF-16 (RFC 4627, section 3). */
function encodingOf([first, second]: Uint8Array): string {
  if ((first === 0xff && second === 0xfe) || (first !== undefined && first !== 0 && second === 0))
    return "utf-16le";
  if ((first === 0xfe && second === 0xff) || (first === 0 && second !== 0 && second !== undefined))
    return "utf-16be";
  return "utf-8";
}
