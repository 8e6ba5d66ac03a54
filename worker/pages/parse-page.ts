// Parses a page into a document as a browser does: by the HTML standard, which says what a page means that leaves tags out, closes them
// in the wrong order or repeats them. Runs no script. Bounds what the tree may grow to, because a few tags can ask for millions of
// elements. What is read from the document is left to read-page.ts.
import { parseHTML } from "linkedom";
import { type DefaultTreeAdapterMap, defaultTreeAdapter, html, parse, type TreeAdapter } from "parse5";
import { withoutCdata } from "./plain-text.ts";

type Tree = DefaultTreeAdapterMap;
export type TreeLimits = { maxElements: number; maxDepth: number };
/** A page of as many tags and levels as article.ts lets through needs less, unless it is made to grow. */
const TREE_LIMITS: TreeLimits = { maxElements: 200_000, maxDepth: 500 };

/** Throws if the tree would grow beyond its limits. */
export function parsePage(page: string, limits = TREE_LIMITS): Document {
  const tree = parse(isXml(page) ? withEndTags(withoutCdata(page)) : page, {
    treeAdapter: boundedAdapter(limits),
  });
  const instead = textWithoutFrames(tree);
  return instead === null ? documentOf(tree) : parsePage(instead, limits);
}

function boundedAdapter({ maxElements, maxDepth }: TreeLimits): TreeAdapter<Tree> {
  let elements = 0;
  let depth = 0;
  return {
    ...defaultTreeAdapter,
    createElement(...given) {
      if (++elements > maxElements) throw new Error("The page has too many elements.");
      return defaultTreeAdapter.createElement(...given);
    },
    onItemPush() {
      if (++depth > maxDepth) throw new Error("The page is nested too deep.");
    },
    onItemPop() {
      depth--;
    },
  };
}

const isXml = (page: string) => /^\s*<\?xml\s/.test(page);

const EMPTY = /<([a-z][\w:.-]*)((?:[^<>"']|"[^"]*"|'[^']*')*)\/>/gi;
const VOID = /^(area|base|br|col|embed|hr|img|input|link|meta|param|source|track|wbr)$/i;
/** In XML `<script/>` is a whole element. In HTML it begins one, which would contain the rest of the page. */
const withEndTags = (page: string) =>
  page.replaceAll(EMPTY, (tag, name: string, attributes: string) =>
    VOID.test(name) ? tag : `<${name}${attributes}></${name}>`,
  );

/** What a page of frames has for readers that show none. */
function textWithoutFrames(tree: Tree["document"]): string | null {
  const root = childrenOf(tree).find((node) => node.nodeName === "html");
  const isFrames = root !== undefined && childrenOf(root).some((node) => node.nodeName === "frameset");
  if (!isFrames) return null;
  const found: string[] = [];
  walk(root, (node) => {
    if (node.parentNode?.nodeName === "noframes" && "value" in node) found.push(node.value);
  });
  return found.join("");
}

/** The same tree in the form that Readability works on. Comments and the contents of templates are not shown, so they are left out. */
function documentOf(tree: Tree["document"]): Document {
  const { document } = parseHTML("<!doctype html><html><head></head><body></body></html>");
  const made = new Map<Tree["parentNode"], Node>([[tree, document]]);
  const makeElement = (node: Tree["element"]) => {
    if (/^(html|head|body)$/.test(node.tagName) && node.namespaceURI === html.NS.HTML)
      return document.querySelector(node.tagName)!;
    return document.createElement(node.tagName);
  };
  walk(tree, (node) => {
    const parent = made.get(node.parentNode!)!;
    if (node.nodeName === "#text")
      parent.appendChild(document.createTextNode((node as Tree["textNode"]).value));
    if (!("tagName" in node)) return;
    const element = makeElement(node);
    for (const { name, value } of node.attrs) element.setAttribute(name, value);
    if (!element.parentNode) parent.appendChild(element);
    made.set(node, element);
  });
  return document;
}

/** Every node below one, in the order of the page. Without recursion, and without the contents of templates. */
function walk(root: Tree["node"], visit: (node: Tree["childNode"]) => void): void {
  const waiting = childrenOf(root).toReversed();
  for (let node = waiting.pop(); node; node = waiting.pop()) {
    visit(node);
    for (const child of childrenOf(node).toReversed()) waiting.push(child);
  }
}

const childrenOf = (node: Tree["node"]): Tree["childNode"][] => ("childNodes" in node ? node.childNodes : []);
