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

/** Half of a UTF-16 pair is no character: strict readers of JSON refuse it. An escaped backslash before the letters of one is none. */
const ESCAPES =
  /\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2}|\\u[dD][89a-fA-F][\da-fA-F]{2}|\\[\s\S]/g;
const HALF_LENGTH = "\\ud800".length;

/** The same JSON text with U+FFFD, the sign for what was lost, for each half of a pair. A text that was cut inside an emoji has one. */
export function withoutHalves(json: string): string {
  if (!/\\u[dD][89a-fA-F]/.test(json)) return json.toWellFormed();
  return json.toWellFormed().replaceAll(ESCAPES, (one) => (one.length === HALF_LENGTH ? "\ufffd" : one));
}

/** The same for a value. */
export function wellFormed(value: unknown): unknown {
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined) return value;
  const whole = withoutHalves(json);
  return whole === json ? value : JSON.parse(whole);
}

/** What is most often wrong with a text that is not JSON; "" for anything else. It repeats nothing of the text but a word of a language. */
export function faultOf(text: string): string {
  const found = FAULTS.find(([pattern]) => pattern.test(withoutStrings(text)));
  return found ? `it has ${found[1]}; ` : "";
}

/** A longer text is looked at so far. Characters. */
const LOOKED_AT = 100_000;
/** A string without an end goes to the end of the text, so that no text is read twice. */
const withoutStrings = (text: string) =>
  text.slice(0, LOOKED_AT).replaceAll(/"(?:[^"\\]|\\[\s\S])*(?:"|\\?$)/g, '""');

const FAULTS: readonly [RegExp, string][] = [
  [/^\s*[[{]+\s*'/, "single quotes, as Python prints a dict; send what json.dumps returns"],
  [/\b(NaN|Infinity)\b/, "NaN or Infinity, which are no numbers in JSON; send null"],
  [/[:[,]\s*(None|True|False|undefined)\b/, "None, True, False or undefined, which JSON does not know"],
  [/,\s*[}\]]/, "a comma behind the last entry"],
  [/\/[/*]/, "a comment"],
  [/^\s*[{,]\s*[A-Za-z_$][\w$]*\s*:/, "names without quotes"],
  [/^\s*</, "XML or HTML"],
  [/^\s*%(7B|5B|22)/i, "percent-encoding around it"],
  [/^[\w.%+-]+=[^=&\s]+(&|$)/, "form fields"],
  [/^\s*```/, "a code fence around it"],
  [/[“”‘’]/, "curly quotes"],
];
