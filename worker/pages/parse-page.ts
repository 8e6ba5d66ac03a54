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

export const parsePage = (page: string, limits = TREE_LIMITS): Document => parsedPage(page, limits)();

/** Parses once; every call makes another document of it. Throws if the tree would grow beyond its limits. */
export function parsedPage(page: string, limits = TREE_LIMITS): () => Document {
  const tree = parse(isXml(page) ? withEndTags(withoutCdata(page)) : page, {
    treeAdapter: boundedAdapter(limits),
  });
  const instead = textWithoutFrames(tree);
  if (instead !== null) return parsedPage(instead, limits);
  walk(tree, openShadow);
  return () => documentOf(tree);
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

/** XHTML is often sent without its first line. In HTML it would be empty behind the first `<script/>`, which its author would have seen. */
const isXml = (page: string) =>
  /^(?:\s|\ufeff|<!--.*?-->)*<\?xml\s/s.test(page) ||
  /<html\s[^<>]*\bxmlns\s*=\s*["']?http:\/\/www\.w3\.org\/1999\/xhtml/i.test(page.slice(0, XML_START));
const XML_START = 4_096;

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

const PREFORMATTED = /^(xmp|listing|plaintext)$/;

/** No other element can have a shadow root. */
const HOST =
  /^(?:article|aside|blockquote|body|div|footer|h[1-6]|header|main|nav|p|section|span|[a-z][^-]*-.*)$/;

/** A shadow root that stands in the page is what a browser shows of its element, with the element's own content in its slots. */
function openShadow(host: Tree["childNode"]): void {
  if (!("tagName" in host) || !HOST.test(host.tagName)) return;
  const root = host.childNodes.find(isShadowRoot);
  if (root === undefined) return;
  const own = Map.groupBy(
    host.childNodes.filter((node) => node !== root),
    (node) => attributeOf(node, "slot") ?? "",
  );
  walk(root.content, (slot) => {
    if (slot.nodeName !== "slot") return;
    const filling = own.get(attributeOf(slot, "name") ?? "") ?? childrenOf(slot);
    const parent = slot.parentNode!;
    adopt(
      parent,
      parent.childNodes.flatMap((node) => (node === slot ? filling : node)),
    );
  });
  adopt(host, root.content.childNodes);
}

const isShadowRoot = (node: Tree["childNode"]): node is Tree["template"] =>
  node.nodeName === "template" &&
  (attributeOf(node, "shadowrootmode") ?? attributeOf(node, "shadowroot")) !== undefined;

const attributeOf = (node: Tree["childNode"], name: string) =>
  "attrs" in node ? node.attrs.find((attribute) => attribute.name === name)?.value : undefined;

function adopt(parent: Tree["parentNode"], children: Tree["childNode"][]): void {
  for (const child of children) child.parentNode = parent;
  parent.childNodes = children;
}

/** The same tree in the form that Readability works on. Comments and the contents of templates are not shown, so they are left out. */
function documentOf(tree: Tree["document"]): Document {
  const { document } = parseHTML("<!doctype html><html><head></head><body></body></html>");
  const made = new Map<Tree["parentNode"], Node>([[tree, document]]);
  const makeElement = (node: Tree["element"]) => {
    const isForeign = node.namespaceURI !== html.NS.HTML;
    // The title of a drawing is not the page's.
    if (isForeign && node.tagName === "title") return document.createElement("desc");
    if (!isForeign && /^(html|head|body)$/.test(node.tagName)) return document.querySelector(node.tagName)!;
    // Written out and read again, which Readability does, the text of these would be another one.
    return document.createElement(PREFORMATTED.test(node.tagName) ? "pre" : node.tagName);
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
