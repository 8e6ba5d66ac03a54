// Feeds (RSS and Atom) that come where a page is expected. Owns how one becomes a page of its entries, each with title, date and text.
// It reads tag by tag instead of parsing, because many feeds are no well-formed XML, and takes time in proportion to the feed. How the
// page becomes text is left to read-page.ts. Pure.
import { withoutCdata } from "./plain-text.ts";

const FEED = /^\s*(?:<\?[^<>]*\?>\s*|<!--[^<>]*-->\s*|<!doctype[^<>]*>\s*)*<(?:rss|feed|rdf:RDF)(?=[\s>])/i;
const ENTRY = /<(?:item|entry)(?=[\s>])[^<>]*>/i;
const ENTRY_END = /<\/(?:item|entry)\s*>/i;

/** The feed as HTML; null for what is no feed. */
export function feedAsPage(page: string): string | null {
  if (!FEED.test(page)) return null;
  const [head = "", ...entries] = withoutCdata(page).split(ENTRY);
  const title = textIn(head, ["title"]);
  return `<title>${title}</title>${entries.map((entry) => entryAsHtml(entry.split(ENTRY_END, 1)[0]!)).join("")}`;
}

const DATES = ["pubDate", "published", "updated", "dc:date"];
/** The whole text before its summary. */
const TEXTS = ["content:encoded", "content", "description", "summary", "itunes:summary", "media:description"];

const entryAsHtml = (entry: string): string =>
  `<article><h2>${textIn(entry, ["title"])}</h2><p>${textIn(entry, DATES)}</p>${htmlIn(entry, TEXTS)}</article>`;

/** The first of the elements that holds something. Titles may be escaped once more than they should be, so their references stay. */
function textIn(xml: string, names: readonly string[]): string {
  const { content = "" } = elementIn(xml, names) ?? {};
  return unescaped(content).replaceAll("<", "&lt;");
}

/** Of Atom's texts only those that say so are HTML; RSS says nothing, and means HTML. */
function htmlIn(xml: string, names: readonly string[]): string {
  const { name = "", attributes = "", content = "" } = elementIn(xml, names) ?? {};
  const isAtom = name === "content" || name === "summary";
  if (!isAtom || /\btype\s*=\s*["'](?:text\/)?html["']/i.test(attributes)) return unescaped(content);
  return /\btype\s*=\s*["']xhtml["']/i.test(attributes) ? content : textIn(xml, names);
}

type Element = { name: string; attributes: string; content: string };

function elementIn(xml: string, names: readonly string[]): Element | undefined {
  for (const name of names) {
    const start = new RegExp(`<${name}(?=[\\s>/])([^<>]*)>`, "i").exec(xml);
    if (!start) continue;
    const from = start.index + start[0].length;
    const end = xml.indexOf(`</${name}`, from);
    const content = xml.slice(from, end < 0 ? undefined : end);
    if (!start[0].endsWith("/>") && content.trim() !== "") return { name, attributes: start[1]!, content };
  }
  return undefined;
}

const REFERENCE = /&(?:(lt|gt|amp|quot|apos)|#(\d{1,7})|#x([\da-f]{1,6}));/gi;
const NAMED: Record<string, string> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
const LAST_CHARACTER = 0x10ffff;

const unescaped = (xml: string): string =>
  xml.replaceAll(REFERENCE, (all, name?: string, decimal?: string, hex?: string) => {
    if (name !== undefined) return NAMED[name.toLowerCase()]!;
    const code = decimal === undefined ? Number.parseInt(hex!, 16) : Number(decimal);
    return code <= LAST_CHARACTER ? String.fromCodePoint(code) : all;
  });
