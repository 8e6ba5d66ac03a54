// Plain text as Markdown: what would be a mark there is escaped, so that it reads back as the same text. Escapes as little as it can,
// because models read the Markdown as it is. Pure.

export type Place = {
  /** Only at the beginning of a line are there headings, quotes and lists. */
  lineStart?: boolean;
  inLink?: boolean;
  inCell?: boolean;
};

const MARK = /\\(?=[!-/:-@[-`{-~]|$)|[`*~_[\]|]|<(?=[a-z/!?])|&(?=#?\w+;)/gi;
const LINE_MARK =
  /^(?:(\d{1,9})(?=[.)](?:\s|$))|(?=#{1,6}(?:\s|$)|>|[-+*](?:\s|$)|[-=:| ]+$|\[[ x]\](?:\s|$)))/i;
const ADDRESS = /\bhttps?:\/\/[^\s<>()[\]`*|\\]+/g;

/** One line, or a part of one. */
export function escapeMarkdown(text: string, place: Place = {}): string {
  const addresses = [...text.matchAll(ADDRESS)].map(({ 0: found, index }) => [index, index + found.length]);
  let next = 0;
  const isInAddress = (at: number) => {
    while (next < addresses.length && addresses[next]![1]! <= at) next += 1;
    return next < addresses.length && addresses[next]![0]! <= at;
  };
  const escaped = text.replaceAll(MARK, (mark, at: number) =>
    isMark(text, at, place) && !isInAddress(at) ? `\\${mark}` : mark,
  );
  return place.lineStart ? escapeLineStart(escaped) : escaped;
}

function isMark(text: string, at: number, { inLink = false, inCell = false }: Place): boolean {
  const [before = " ", mark, after = " "] = [text[at - 1], text[at], text[at + 1]];
  if (mark === "|") return inCell;
  if (mark === "[") return inLink || after === "^";
  if (mark === "]") return inLink || /[([:]/.test(after);
  if (mark === "_" && isWord(before) && isWord(after)) return false;
  if (mark === "*" || mark === "_" || mark === "~") return before !== " " || after !== " ";
  return true;
}

const isWord = (character: string) => /[\p{L}\p{N}]/u.test(character);

/** A number is escaped behind its digits, because a digit itself cannot be. */
const escapeLineStart = (line: string) => line.replace(LINE_MARK, (_, digits = "") => `${digits}\\`);

/** A text of one paragraph on each line. */
export const paragraphsAsMarkdown = (text: string): string =>
  text
    .split("\n")
    .map((line) => escapeMarkdown(line, { lineStart: true }))
    .join("\n\n");
