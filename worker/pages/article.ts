// Finds the article in a page within limits: on the page's size and nesting, and on the time it takes. The work itself is in
// read-page.ts and plain-text.ts. It runs in a thread, because some pages are made to keep their reader busy for ever.
import { warmThreads } from "../async/warm-threads.ts";
import { KamadoError } from "../errors.ts";
import type { Page, Pages } from "../job/handler.ts";
import { chunkText } from "../job/text.ts";
import type { Work } from "./page-thread.ts";
import type { Article } from "./read-page.ts";

export type PageLimits = { maxBytes?: number; maxTags?: number; maxDepth?: number; timeoutMs?: number };
export const PAGE_LIMITS = {
  maxBytes: 5_000_000,
  maxTags: 40_000,
  maxDepth: 250,
  timeoutMs: 10_000,
} as const;

const MAX_MEMORY_MB = 512;
const AT_ONCE = 2;
/** Loading the parser takes ten times as long as reading an ordinary page. */
const IDLE_MS = 10_000;
/** The text between the tags takes time in proportion to the page, at most about a second. */
const BARE_MS = 30_000;

/**
 * `article` throws `input_too_large`, and `page_without_text` where nothing is found. Of a page that cannot be read in time, it
 * returns the text between the tags.
 */
export function createPages(limits: PageLimits = {}): Pages {
  const { maxBytes, maxTags, maxDepth, timeoutMs } = { ...PAGE_LIMITS, ...limits };
  const threads = warmThreads(new URL("./page-thread.ts", import.meta.url), {
    atOnce: AT_ONCE,
    idleMs: IDLE_MS,
    maxMemoryMb: MAX_MEMORY_MB,
  });
  const read = (work: Work, timeoutMs: number) => threads.run<Article>(work, timeoutMs);
  return {
    async article(html, { url } = {}) {
      const bytes = Buffer.byteLength(html);
      if (bytes > maxBytes)
        throw new KamadoError("input_too_large", `The page has ${bytes} bytes; the limit is ${maxBytes}.`);
      const article = await read({ page: html, url, limits: { maxTags, maxDepth } }, timeoutMs).catch(() =>
        read({ page: html, url }, BARE_MS),
      );
      if (article.text === "")
        throw new KamadoError(
          "page_without_text",
          `The page, of ${bytes} bytes, has no text${why(article)}.`,
        );
      return pageOf(article);
    },
    async read(url) {
      throw new KamadoError("unsupported_address", `No reader for ${url}.`);
    },
    async chunks({ markdown }, size = CHUNK_CHARACTERS) {
      return chunkText(markdown, size).map((text) => ({ text, path: [], start: 0, end: 0 }));
    },
  };
}

const why = ({ obstacle }: Article) => (obstacle === "javascript" ? ": it needs JavaScript to show any" : "");

const CHUNK_CHARACTERS = 2_000;

/** A page of which only this is known. */
export const pageOf = (known: Partial<Page> & Pick<Page, "text">): Page => ({
  url: null,
  canonicalUrl: known.url ?? null,
  title: null,
  byline: null,
  site: null,
  published: null,
  language: null,
  format: "html",
  markdown: known.text,
  obstacle: null,
  ...known,
});
