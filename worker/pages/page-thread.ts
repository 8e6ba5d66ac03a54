// The thread in which article.ts reads pages and documents, and chunks.ts cuts texts up and ranks them.
import { answerWork } from "../async/warm-threads.ts";
import { KamadoError } from "../errors.ts";
import type { Chunk } from "../job/handler.ts";
import { chunkText } from "../job/text.ts";
import { type DocumentBytes, formatOf, type KnownPage, type Refused, refused } from "./document.ts";
import { paragraphsAsMarkdown } from "./escape-markdown.ts";
import { feedAsPage, jsonFeedAsPage } from "./feed.ts";
import { bareText, isIntricate, type PageShape } from "./plain-text.ts";

/** `limits`: for a page that is to be parsed unless it goes beyond them. */
export type Work =
  | { page: string; url?: string | undefined; limits?: PageShape }
  | { document: DocumentBytes; limits?: PageShape }
  | { chunk: string; size: number }
  | { texts: readonly string[]; queries: readonly string[] }
  | { markdown: string; title: string | null; size: number };

export type Done = KnownPage | string[] | number[] | Chunk[] | Refused;

async function done(work: Work): Promise<Done> {
  if ("chunk" in work) return chunkText(work.chunk, work.size);
  if ("texts" in work) {
    const { rankTexts } = await import("./rank.ts");
    return rankTexts(work.texts, work.queries);
  }
  if ("markdown" in work) {
    const { chunkMarkdown } = await import("./chunk-markdown.ts");
    return chunkMarkdown(work.markdown, work.size, work.title);
  }
  return "page" in work ? readHtml(work.page, work) : readDocument(work.document, work);
}

type HtmlOptions = { url?: string | null | undefined; limits?: PageShape };

async function readHtml(html: string, options: HtmlOptions): Promise<KnownPage> {
  const feed = feedAsPage(html);
  return feed === null ? readTags(html, options) : readFeed(feed, options);
}

async function readTags(html: string, { url, limits }: HtmlOptions): Promise<KnownPage> {
  if (limits === undefined || isIntricate(html, limits)) return { ...bare(html), url: url ?? null };
  // The parser takes longer to load than the bare text needs.
  const { readPage } = await import("./read-page.ts");
  return readPage(html, url ? { url } : {});
}

async function readFeed(feed: string, { url, limits }: HtmlOptions): Promise<KnownPage> {
  if (limits === undefined || isIntricate(feed, limits))
    return { ...bare(feed), url: url ?? null, format: "feed" };
  const { readWholePage } = await import("./read-page.ts");
  return { ...readWholePage(feed, url ? { url } : {}), url: url ?? null, format: "feed" };
}

function bare(html: string): KnownPage {
  const text = bareText(html);
  return { text, markdown: paragraphsAsMarkdown(text) };
}

async function readDocument(
  document: DocumentBytes,
  { limits }: Extract<Work, { document: DocumentBytes }>,
): Promise<KnownPage> {
  const options: HtmlOptions = { url: document.url, ...(limits && { limits }) };
  const found = formatOf(document);
  if (!("text" in found))
    throw new KamadoError("document_unreadable", `The document cannot be read: ${found.unreadable}.`);
  if (found.format === "html") return readTags(found.text, options);
  const feed = found.format === "jsonfeed" ? jsonFeedAsPage(found.text) : feedAsPage(found.text);
  if (feed !== null && found.format !== "markdown") return readFeed(feed, options);
  const { readMarkdown, readText } = await import("./text-document.ts");
  return {
    url: document.url ?? null,
    ...(found.format === "markdown" ? readMarkdown : readText)(found.text),
  };
}

answerWork((work: Work) => done(work).catch(refused));
