// Documents that are text already: Markdown with its front matter, and plain text. Pure, and in time in proportion to the text.
import type { KnownPage } from "./document.ts";
import { escapeMarkdown } from "./escape-markdown.ts";

const tidy = (text: string) => text.replace(/^\ufeff/, "").replaceAll(/\r\n?|\f/g, "\n");

/** Its lines stay as they are. Empty ones part its paragraphs. */
export function readText(given: string): KnownPage {
  const lines = tidy(given)
    .split("\n")
    .map((line) => line.trimEnd());
  const markdown = lines.map((line) => escapeMarkdown(line.trimStart(), { lineStart: true })).join("\n");
  return {
    format: "text",
    text: lines
      .map((line) => line.trim())
      .filter((line) => line !== "")
      .join("\n"),
    markdown: markdown.replaceAll(/\n{3,}/g, "\n\n").trim(),
  };
}

const FRONT_MATTER = /^(---|\+\+\+)[^\S\n]*\n([\s\S]*?)\n\1[^\S\n]*(?:\n|$)/;

export function readMarkdown(given: string): KnownPage {
  const whole = tidy(given);
  const matter = FRONT_MATTER.exec(whole);
  const markdown = whole.slice(matter?.[0].length ?? 0).trim();
  const said = fieldsOf(matter?.[2] ?? "");
  const published = said("date", "published", "pubdate")?.match(DATE)?.[0] ?? null;
  return {
    format: "markdown",
    title: said("title") ?? firstHeading(markdown),
    byline: said("author", "authors", "byline") ?? null,
    published: published && !Number.isNaN(Date.parse(published)) ? published.replace(" ", "T") : null,
    language: said("lang", "language")?.match(/^[a-z]{2,3}(?:-[\w-]+)?$/i)?.[0] ?? null,
    text: plainOf(markdown),
    markdown,
  };
}

const DATE = /^\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?/;
const FIELD = /^([a-z][\w-]*)\s*[:=]\s*(\S.*)$/gim;

/** Fields of one line, as YAML and TOML have them. */
function fieldsOf(matter: string) {
  const fields = new Map(
    [...matter.matchAll(FIELD)].map(([, name, value]) => [name!.toLowerCase(), unquoted(value!)]),
  );
  return (...names: string[]) => names.map((name) => fields.get(name)).find((value) => value);
}

function unquoted(value: string): string {
  const plain = value.trim().replace(/^\[(.*)\]$/, "$1");
  const quoted = /^(["'])(.*)\1$/.exec(plain);
  return quoted ? quoted[2]!.replaceAll(/\\(["\\])/g, "$1") : plain.replace(/\s+#.*$/, "");
}

const HEADING = /^ {0,3}#{1,6}[^\S\n]+(.*?)(?:[^\S\n]+#+)?[^\S\n]*$/;

function firstHeading(markdown: string): string | null {
  const lines = markdown.split("\n", FIRST_LINES);
  for (const [at, line] of lines.entries()) {
    const heading = HEADING.exec(line)?.[1] ?? (/^=+\s*$/.test(lines[at + 1] ?? "") ? line.trim() : "");
    if (heading !== "") return inlinePlain(heading) || null;
    if (FENCE.test(line)) return null;
  }
  return null;
}
const FIRST_LINES = 50;
const FENCE = /^ {0,3}(`{3,}|~{3,})/;

/** The words of Markdown, one paragraph, item or row on each line. Lines of one paragraph are joined, those of code are not. */
function plainOf(markdown: string): string {
  const out: string[] = [];
  let fence: string | null = null;
  let isOpen = false;
  for (const line of markdown.split("\n")) {
    const mark = FENCE.exec(line)?.[1];
    if (fence !== null || mark !== undefined) {
      if (fence === null) fence = mark!;
      else if (mark?.startsWith(fence)) fence = null;
      else if (line.trim() !== "") out.push(line.trim());
      isOpen = false;
      continue;
    }
    isOpen = addLine(out, line, isOpen);
  }
  return out.join("\n");
}

const BLOCK_MARK =
  /^(?:\s*(?:>|[-+*](?=\s)|\d{1,9}[.)](?=\s)|#{1,6}(?=\s)|\[\^[^\]\s]+\]:))+\s*(?:\[[ x]\]\s+)?/i;
const NO_WORDS = /^[\s|:=*_-]*$|^\s*\[[^\]^]+\]:\s*\S+/;

function addLine(out: string[], line: string, isOpen: boolean): boolean {
  if (NO_WORDS.test(line)) return false;
  const begun = BLOCK_MARK.exec(line)?.[0] ?? "";
  const isRow = /^\s*\|.*\|\s*$/.test(line);
  const words = inlinePlain(
    isRow
      ? line.replaceAll(/\\\|/g, "│").replaceAll("|", " ").replaceAll("│", "|")
      : line.slice(begun.length),
  );
  const goesOn = isOpen && begun.trim() === "" && !isRow;
  if (words !== "") {
    if (goesOn) out[out.length - 1] += ` ${words}`;
    else out.push(words);
  }
  return !isRow && !/#/.test(begun) && !/(?: {2}|\\)$/.test(line);
}

const INLINE: [RegExp, string][] = [
  [/!?\[((?:[^[\]\\]|\\.)*)\](?:\([^()\s]*(?:\s+"[^"]*")?\)|\[[^[\]]*\])/g, "$1"],
  [/<((?:https?|mailto):[^<>\s]+)>/g, "$1"],
  [/<br\s*\/?>/gi, " "],
  [/<\/?[a-z][^<>]*>|<!--.*?-->/gi, ""],
  [/(`+)(.*?)\1/g, "$2"],
  [/(?<!\\)(\*\*|__|~~)(?=\S)/g, ""],
  [/(?<=\S)(?<!\\)(\*\*|__|~~)/g, ""],
  [/(?<![\w\\*])\*(?=\S)([^*]*\S)\*(?!\w)/g, "$1"],
  [/(?<![\w\\])_(?=\S)([^_]*\S)_(?!\w)/g, "$1"],
  [/\\([!-/:-@[-`{-~])/g, "$1"],
];

const inlinePlain = (line: string): string =>
  INLINE.reduce((text, [mark, by]) => text.replaceAll(mark, by), line)
    .replaceAll(/\s+/g, " ")
    .trim();
