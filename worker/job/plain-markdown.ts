// Markdown as the text that a reader sees: without addresses of links and pictures, marks of emphasis and backslashes. A model gets it, so
// that it spends no tokens on addresses and its quotes are found again. Headings, lists and tables keep their lines. Pure.

/** An address in parentheses; one pair of parentheses may stand in it. */
const TARGET = String.raw`\((?:<[^>\n]*>|[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)(?:\s+(?:"[^"\n]*"|'[^'\n]*'))?\s*\)`;
const PICTURE = new RegExp(String.raw`!\[((?:[^[\]\\\n]|\\.){0,1000})\]${TARGET}`, "g");
const LINK = new RegExp(String.raw`\[((?:[^[\]\\]|\\.){0,2000})\]${TARGET}`, "g");
const EMPHASIS = /(?<![\p{L}\p{N}\\])([*_]{1,3}|~~)(?=\S)([^*_~\n]{1,1000}?)(?<=\S)\1(?![\p{L}\p{N}])/gu;
const ROW_OF_DASHES = /^\s*\|?(?:\s*:?-{3,}:?\s*\|)+\s*(?::?-{3,}:?)?\s*$/gm;
const ESCAPED = /\\([!-/:-@[-`{-~])/g;

export const plainOf = (markdown: string): string =>
  markdown
    .replaceAll(PICTURE, "$1")
    .replaceAll(LINK, "$1")
    .replaceAll(/<(https?:[^\s<>]+)>/g, "$1")
    .replaceAll(EMPHASIS, "$2")
    .replaceAll(ROW_OF_DASHES, "")
    .replaceAll(/^ {0,3}#{1,6} +/gm, "")
    .replaceAll(ESCAPED, "$1")
    .replaceAll(/\n{3,}/g, "\n\n")
    .trim();

/** What begins something in Markdown: emphasis, links, HTML, headings, tables, entities. A picture begins with a bracket too. */
const SPECIAL = /[\\`*_{}[\]<>#|~&$]/g;
/** What is made a link without any mark around it. */
const AUTOLINK = /(?<=\b(?:https?|ftp|mailto|xmpp))(?=:)|(?<=\bwww)(?=\.)|(?=@)/gi;
/** At the start of a line: a list, a number of a list, a line under a heading. */
const LEADING = /^([-+=]|\d+(?=[.)](?:\s|$)))/;
/** Control characters, and those that turn the order of what follows. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are meant
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+/g;

/** A text of somebody else as one line of Markdown that shows it and does nothing else. */
export function escaped(text: string): string {
  const line = text.replaceAll(UNSEEN, " ").replaceAll(/\s+/g, " ").trim();
  const marked = line.replaceAll(SPECIAL, String.raw`\$&`).replaceAll(AUTOLINK, "\\");
  return marked.replace(LEADING, (start) => (/\d/.test(start) ? `${start}\\` : `\\${start}`));
}

/** A link to an address of the web; of any other address, only its text. */
export function linkTo(address: string | null, text: string): string {
  const url = address !== null && URL.canParse(address) ? new URL(address) : null;
  if (!url || !/^https?:$/.test(url.protocol)) return escaped(text);
  const target = url.href.replaceAll(/[<>\\\s]/g, (one) => encodeURIComponent(one));
  return text === address ? `<${target}>` : `[${escaped(text)}](<${target}>)`;
}
