// Feeds (RSS and Atom) that come where a page is expected. Owns how one becomes a page of its entries, each with title, date and text.
// It reads tag by tag instead of parsing, because many feeds are no well-formed XML, and takes time in proportion to the feed. How the
// page becomes text is left to read-page.ts. Pure.
import { withoutCdata } from "./plain-text.ts";

const FEED = /^\s*(?:<\?[^<>]*\?>\s*|<!--[^<>]*-->\s*|<!doctype[^<>]*>\s*)*<(?:rss|feed|rdf:RDF)(?=[\s>])/i;
const ENTRY = /<(?:item|entry)(?=[\s>])[^<>]*>/i;
const ENTRY_END = /<\/(?:item|entry)\s*>/i;

export const isFeed = (page: string): boolean => FEED.test(page);

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
  articleOf(textIn(entry, ["title"]), linkIn(entry), textIn(entry, DATES), htmlIn(entry, TEXTS));

const articleOf = (title: string, link: string, date: string, text: string): string =>
  `<article><h2>${link === "" ? title : `<a href="${link}">${title}</a>`}</h2><p>${date}</p>${text}</article>`;

const ATOM_LINK = /<link\b(?![^<>]*\brel\s*=\s*["'](?!alternate))[^<>]*\bhref\s*=\s*["']([^"'<>]*)["']/i;

const linkIn = (entry: string): string =>
  (ATOM_LINK.exec(entry)?.[1] ?? textIn(entry, ["link"])).trim().replaceAll('"', "%22");

/** A JSON feed as HTML; null for what is none. */
export function jsonFeedAsPage(json: string): string | null {
  let feed: JsonFeed;
  try {
    feed = JSON.parse(json) as JsonFeed;
  } catch {
    return null;
  }
  if (!Array.isArray(feed?.items)) return null;
  const entries = feed.items.filter((item) => item !== null && typeof item === "object").map(jsonEntryAsHtml);
  return `<title>${asHtml(feed.title)}</title>${entries.join("")}`;
}

type JsonFeed = { title?: unknown; items?: JsonItem[] };
type JsonItem = Partial<
  Record<
    "title" | "url" | "external_url" | "date_published" | "content_html" | "content_text" | "summary",
    unknown
  >
>;

function jsonEntryAsHtml(item: JsonItem): string {
  const text = asHtml(item.content_text ?? item.summary).replaceAll(/\n+/g, "</p><p>");
  const link = asHtml(item.url ?? item.external_url).replaceAll('"', "%22");
  const html = typeof item.content_html === "string" ? item.content_html : `<p>${text}</p>`;
  return articleOf(asHtml(item.title), link, asHtml(item.date_published), html);
}

const asHtml = (value: unknown): string =>
  typeof value === "string" ? value.replaceAll("&", "&amp;").replaceAll("<", "&lt;") : "";

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
