// A document's words as plain text, the way its blocks stand on a page: one paragraph a line.

const BLOCK =
  /^(ADDRESS|ARTICLE|ASIDE|BLOCKQUOTE|BODY|BR|CAPTION|DD|DETAILS|DIV|DL|DT|FIGCAPTION|FIGURE|FOOTER|FORM|H[1-6]|HEADER|HR|LI|MAIN|NAV|OL|P|PRE|SECTION|SUMMARY|TABLE|TBODY|TFOOT|THEAD|TR|UL)$/;
const CELL = /^(TD|TH)$/;
const SILENT = /^(BUTTON|HEAD|IFRAME|MATH|NOSCRIPT|OBJECT|SCRIPT|SELECT|STYLE|SVG|TEMPLATE|TEXTAREA|TITLE)$/;
const TEXT_NODE = 3;

// A line end in the source is no line end on the page: a mark that no text holds keeps the two apart.
const LINE = "\u0000";

/** The text of a node and all below it, without a call a level: pages nest as deep as they like. */
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
  return tidyLines(pieces.join(""), LINE);
}

const marginOf = (name: string) => (BLOCK.test(name) ? LINE : CELL.test(name) ? " " : "");

/** Lines without what is blank in them; `mark` ends a line. */
export const tidyLines = (text: string, mark: string) =>
  text
    .split(mark)
    .map((line) => line.replaceAll(/\s+/g, " ").trim())
    .filter((line) => line !== "")
    .join("\n");
