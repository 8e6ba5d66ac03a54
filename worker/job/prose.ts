// Markdown as a model reads it: the words of headings, lists, tables and links without the marks and addresses around them, one
// paragraph on each line. So a part has fewer tokens, and a sentence that the model quotes is found in it. Pure.

// What may be long is bounded, so that no text takes more than its length in time.
const LABEL = String.raw`((?:[^[\]\\]|\\.){0,1000})`;
const TARGET = String.raw`\((?:<[^<>\n]{0,2000}>|(?:[^()\\\s]|\\.|\([^()\s]{0,500}\)){0,2000})(?:\s{1,3}(?:"[^"]{0,500}"|'[^']{0,500}'))?\)`;
const LINK = new RegExp(String.raw`(?<!\\)!?\[${LABEL}\]${TARGET}`, "g");
const AUTOLINK = /(?<!\\)<((?:https?:\/\/|mailto:)[^<>\s]{1,2000})>/g;

const FENCE = /^\s{0,9}(`{3,}|~{3,})/;
// No two parts of it fit the same spaces.
const TABLE_RULE = /^\s*(?:\|\s*)?(?::?-+:?\s*\|\s*)+(?::?-+:?\s*)?$/;
const RULE = /^\s{0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;

export function proseOf(markdown: string): string {
  const lines: string[] = [];
  let fence = "";
  for (const line of markdown.split("\n")) {
    const [, mark] = FENCE.exec(line) ?? [];
    if (mark !== undefined && (fence === "" || (mark.startsWith(fence) && line.trim() === mark)))
      fence = fence === "" ? mark : "";
    else if (fence !== "") lines.push(line);
    else if (!TABLE_RULE.test(line) && !RULE.test(line)) lines.push(proseLine(line));
  }
  return lines.filter((line) => line.trim() !== "").join("\n");
}

/** A link may be around a picture, and bold words may be around a link. */
const proseLine = (line: string) => {
  const plain = line
    .replace(/^(?:\s{0,9}>)+\s?/, "")
    .replace(/^\s{0,9}(?:#{1,6}|[-*+](?: \[[ xX]\])?)\s+/, "");
  const linked = plain.replaceAll(LINK, "$1").replaceAll(LINK, "$1").replaceAll(AUTOLINK, "$1");
  return withoutEscapes(withoutEmphasis(cellsOf(linked)));
};

const cellsOf = (line: string) =>
  /^\s*\|.*\|\s*$/.test(line)
    ? line
        .trim()
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim())
        .filter((cell) => cell !== "")
        .join(" | ")
    : line;

const withoutEmphasis = (line: string) =>
  line
    .replaceAll(/(?<![\\`])(`{1,2})([^`\n]{1,1000})\1(?!`)/g, "$2")
    .replaceAll(/(?<!\\)(\*\*|~~)(?=\S)([^*~]{1,1000})(?<=[^\s\\])\1/g, "$2")
    .replaceAll(/(?<!\\)\*(?=\S)([^*]{1,1000})(?<=[^\s\\])\*/g, "$1")
    .replaceAll(/(?<![\\\p{L}\p{N}])(__?)(?=\S)([^_]{1,1000})(?<=[^\s\\])\1(?![\p{L}\p{N}])/gu, "$2");

const withoutEscapes = (line: string) =>
  line.replaceAll(/\\([\\`*_{}[\]()#+\-.!|>~<])/g, "$1").replace(/(?:\\|(?<! ) {2,})$/, "");
