// Makes text from outside safe to show: in a terminal, a log, an error, an attribute, a page. Whoever shows it decides how long it may
// be. Pure.

// What a terminal or a reader acts on instead of showing it: control characters, invisible ones, changes of the writing direction,
// line and paragraph separators, halves of characters. Variation selectors only choose the look of an emoji.
const UNSAFE =
  /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}]|(?![\ufe0e\ufe0f])\p{Default_Ignorable_Code_Point}/gu;

export type PrintableOptions = {
  /** The longest text, in characters; what is longer is cut and says how long it was. [4,000] */
  max?: number;
  /** Keep line ends and tabs. */
  lines?: boolean;
};

export const MAX_PRINTED = 4_000;

/** The text with everything unsafe as an escape such as \u001b, which can be read and does nothing. */
export function printable(text: string, { max = MAX_PRINTED, lines = false }: PrintableOptions = {}): string {
  const escaped = escapedFrom(text.slice(0, max), lines);
  if (text.length <= max && escaped.length <= max) return escaped;
  const note = `… (${text.length} characters)`;
  // Not half a character either.
  return escaped.slice(0, Math.max(0, max - note.length)).replace(/[\ud800-\udbff]$/, "") + note;
}

const escapedFrom = (text: string, lines: boolean) =>
  text.replaceAll(UNSAFE, (unsafe) => (lines && /[\n\t]/.test(unsafe) ? unsafe : escapeOf(unsafe)));

const NAMED: Record<string, string> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

const escapeOf = (unsafe: string): string =>
  NAMED[unsafe] ??
  Array.from({ length: unsafe.length }, (_, at) => {
    return `\\u${unsafe.charCodeAt(at).toString(16).padStart(4, "0")}`;
  }).join("");

/** JSON of the same value that a terminal can show: unsafe characters occur only in strings, where JSON has escapes for them. */
export function printableJson(value: unknown, space?: number): string {
  return escapedFrom(JSON.stringify(value, null, space) ?? "null", true);
}
