// The text of a page with one paragraph on each line: of a parsed document, or, where the page must not be parsed, of the
// characters between its tags. Also tells which pages must not be parsed. Pure. Takes time in proportion to the page's length, whatever it contains.

const BLOCK =
  /^(ADDRESS|ARTICLE|ASIDE|BLOCKQUOTE|BODY|BR|CAPTION|DD|DETAILS|DIV|DL|DT|FIGCAPTION|FIGURE|FOOTER|FORM|H[1-6]|HEADER|HR|LI|MAIN|NAV|OL|P|PRE|SECTION|SUMMARY|TABLE|TBODY|TFOOT|THEAD|TR|UL)$/;
const CELL = /^(TD|TH)$/;
const SILENT = /^(BUTTON|HEAD|IFRAME|MATH|NOSCRIPT|OBJECT|SCRIPT|SELECT|STYLE|SVG|TEMPLATE|TEXTAREA|TITLE)$/;
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

const TAG = /<[^<>]{0,2000}>/g;
const SILENT_TAG = /<(script|style|noscript)[\s>]/gi;
/** The text between the tags, for a page that is too intricate to parse. */
export function bareText(html: string): string {
  return tidyLines(withoutSilentElements(html).replaceAll(TAG, LINE));
}

function withoutSilentElements(html: string): string {
  const kept: string[] = [];
  let from = 0;
  for (const { 0: tag, 1: name, index } of html.matchAll(SILENT_TAG)) {
    if (index < from) continue;
    kept.push(html.slice(from, index));
    const closing = new RegExp(`</${name}`, "gi");
    closing.lastIndex = index + tag.length;
    // As in a browser, an element that is never closed contains the rest of the page.
    from = closing.exec(html)?.index ?? html.length;
  }
  return [...kept, html.slice(from)].join("");
}

export type PageShape = { maxTags: number; maxDepth: number };

// Elements that often have no end tag; to count them would make every long list look deep.
const OPEN_ENDED =
  /^(area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr|p|li|dt|dd|tr|td|th|option)$/i;

/** Counts tags without parsing: a rough depth is enough to tell an ordinary page from a trap. */
export function isIntricate(html: string, { maxTags, maxDepth }: PageShape): boolean {
  let tags = 0;
  let depth = 0;
  for (const { 1: slash, 2: name } of html.matchAll(/<(\/?)([a-z][a-z0-9-]{0,40})/gi)) {
    if (++tags > maxTags) return true;
    if (OPEN_ENDED.test(name!)) continue;
    depth = slash ? Math.max(0, depth - 1) : depth + 1;
    if (depth > maxDepth) return true;
  }
  return false;
}
