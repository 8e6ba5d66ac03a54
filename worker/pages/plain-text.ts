// The text of a page with one paragraph on each line: of a parsed document, or, where the page must not be parsed, of the
// characters between its tags. Also tells which pages must not be parsed. Pure. Takes time in proportion to the page's length, whatever it contains.

const BLOCK =
  /^(ADDRESS|ARTICLE|ASIDE|BLOCKQUOTE|BODY|BR|CAPTION|DD|DETAILS|DIV|DL|DT|FIGCAPTION|FIGURE|FOOTER|FORM|H[1-6]|HEADER|HR|LI|MAIN|NAV|OL|P|PRE|SECTION|SUMMARY|TABLE|TBODY|TFOOT|THEAD|TR|UL)$/;
const CELL = /^(TD|TH)$/;
// RP, RT and RTC hold how a word is read. A reading in the middle of a word would make another word of it.
const SILENT =
  /^(AUDIO|BUTTON|CANVAS|HEAD|IFRAME|MATH|NOEMBED|NOFRAMES|NOSCRIPT|OBJECT|RP|RT|RTC|SCRIPT|SELECT|STYLE|SVG|TEMPLATE|TEXTAREA|TITLE|VIDEO)$/;
const TEXT_NODE = 3;

// Marks the end of a line on the page: a line end in the source is only white space. No text of a page holds this character.
const LINE = "\u0000";

/** The text of a node and everything below it. Without recursion: a page may nest as deep as it likes. */
export function textOf(root: Node): string {
  const pieces: string[] = [];
  let node: Node | null = root;
  while (node) {
    const name: string = node.nodeName.toUpperCase();
    pieces.push(node.nodeType === TEXT_NODE ? (node.nodeValue ?? "") : marginOf(name));
    if (node.firstChild && !SILENT.test(name)) {
      node = node.firstChild;
      continue;
    }
    while (node && node !== root && !node.nextSibling) {
      node = node.parentNode;
      pieces.push(marginOf(node?.nodeName.toUpperCase() ?? ""));
    }
    node = node && node !== root ? node.nextSibling : null;
  }
  return tidyLines(pieces.join(""));
}

const marginOf = (name: string) => (BLOCK.test(name) ? LINE : CELL.test(name) ? " " : "");

/** Without empty lines and superfluous white space. */
const tidyLines = (text: string) =>
  text
    .split(LINE)
    .map((line) => line.replaceAll(/\s+/g, " ").trim())
    .filter((line) => line !== "")
    .join("\n");

const TAG = /<\/?([a-z][a-z0-9]*)[^<>]*>|<[!?/][^<>]*>/gi;
const INLINE =
  /^(a|abbr|b|bdi|bdo|cite|code|data|del|dfn|em|font|i|ins|kbd|mark|q|rb|ruby|s|samp|small|span|strong|sub|sup|time|tt|u|var|wbr)$/i;
const SILENT_START = /<(?:!--|(script|style|noscript|title|template|rp|rt|rtc)(?=[\s>]))/gi;
/** The text between the tags, for a page that is too intricate to parse. */
export function bareText(html: string): string {
  const margin = (_: string, name = "") => (INLINE.test(name) ? "" : LINE);
  return tidyLines(withoutSilentElements(html).replaceAll(TAG, margin));
}

function withoutSilentElements(html: string): string {
  const kept: string[] = [];
  const ends = new Map<RegExp, number>();
  /** Where the next end of this kind is. It is looked for once, however many elements stand before it. */
  const endAfter = (pattern: RegExp, from: number) => {
    const known = ends.get(pattern) ?? -1;
    if (known >= from) return known;
    pattern.lastIndex = from;
    // As in a browser, an element that is never closed contains the rest of the page.
    const end = pattern.exec(html)?.index ?? html.length;
    ends.set(pattern, end);
    return end;
  };
  let from = 0;
  for (const { 0: start, 1: name, index } of html.matchAll(SILENT_START)) {
    if (index < from) continue;
    kept.push(html.slice(from, index));
    from = endAfter(endOf(name), index + start.length);
  }
  return [...kept, html.slice(from)].join("");
}

const COMMENT_END = /(?<=-->)/g;
// A reading also ends where the next one or its word does.
const READING_END = /<\/?(?:rp|rt|rtc|rb|ruby)\b/gi;
const ENDS = Object.fromEntries(
  ["script", "style", "noscript", "title", "template"].map((name) => [name, new RegExp(`</${name}`, "gi")]),
);
const endOf = (name: string | undefined) =>
  name === undefined ? COMMENT_END : (ENDS[name.toLowerCase()] ?? READING_END);

/** What stands in CDATA is text in XML. In HTML it is a comment, and would be lost. */
export function withoutCdata(page: string): string {
  const [first = "", ...sections] = page.split("<![CDATA[");
  const read = sections.map((section) => {
    const end = section.indexOf("]]>");
    if (end < 0) return asText(section);
    return asText(section.slice(0, end)) + section.slice(end + "]]>".length);
  });
  return first + read.join("");
}

const asText = (text: string) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

export type PageShape = { maxTags: number; maxDepth: number };

/** Of one tag. The parser compares each attribute with all before it. */
const MAX_ATTRIBUTES = 500;
const ATTRIBUTE = /[\s/]*[^\s<>/=]+(?:\s*=\s*(?:"[^"]*"|'[^']*'|[^\s<>"']+))?/y;

// Elements that often have no end tag; to count them would make every long list look deep.
const OPEN_ENDED =
  /^(area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr|p|li|dt|dd|tr|td|th|option)$/i;

/** Counts tags without parsing: a rough depth is enough to tell an ordinary page from a trap. */
export function isIntricate(html: string, { maxTags, maxDepth }: PageShape): boolean {
  let tags = 0;
  let depth = 0;
  for (const { 0: tag, 1: slash, 2: name, index } of html.matchAll(/<(\/?)([a-z][a-z0-9-]{0,40})/gi)) {
    if (++tags > maxTags || hasTooManyAttributes(html, index + tag.length)) return true;
    if (OPEN_ENDED.test(name!)) continue;
    depth = slash ? Math.max(0, depth - 1) : depth + 1;
    if (depth > maxDepth) return true;
  }
  return false;
}

function hasTooManyAttributes(html: string, from: number): boolean {
  ATTRIBUTE.lastIndex = from;
  for (let count = 0; ATTRIBUTE.test(html); count++) if (count === MAX_ATTRIBUTES) return true;
  return false;
}
