// Reads pages and other documents within limits: on their size and nesting, and on the time and memory it takes. The work itself is in
// the files that page-thread.ts names. It runs in a thread, because some documents are made to keep their reader busy for ever.
import { warmThreads } from "../async/warm-threads.ts";
import { type ErrorCode, KamadoError } from "../errors.ts";
import type { Chunk, Page, Pages } from "../job/handler.ts";
import { chunkMarkdown } from "./chunk-markdown.ts";
import { type DocumentBytes, isPdf } from "./document.ts";
import type { Done, Read, Work } from "./page-thread.ts";

export type PageLimits = {
  maxBytes?: number;
  maxTags?: number;
  maxDepth?: number;
  timeoutMs?: number;
  maxDocumentBytes?: number;
  maxPdfPages?: number;
  pdfTimeoutMs?: number;
};
export const PAGE_LIMITS = {
  maxBytes: 5_000_000,
  maxTags: 40_000,
  maxDepth: 250,
  timeoutMs: 10_000,
  maxDocumentBytes: 10 * 1024 * 1024,
  maxPdfPages: 1_000,
  pdfTimeoutMs: 60_000,
} as const;

const MAX_MEMORY_MB = 512;
const AT_ONCE = 2;
const IDLE_MS = 10_000;
/** The text between the tags takes time in proportion to the page, at most about a second. */
const BARE_MS = 30_000;

export type Documents = {
  /**
   * What can be read of bytes from outside: a page, a feed, a PDF, Markdown or a text. What they are is seen from the bytes, and from
   * `contentType` and `url` where these leave it open. Throws `document_unreadable` for everything else, `page_without_text` and
   * `input_too_large`.
   */
  document(given: DocumentBytes): Promise<Page>;
};

/**
 * `article` throws `input_too_large`, and `page_without_text` where nothing is found. Of a page that cannot be read in time, it
 * returns the text between the tags.
 */
export function createPages(limits: PageLimits = {}): Pages & Documents {
  const all = { ...PAGE_LIMITS, ...limits };
  const threads = warmThreads(new URL("./page-thread.ts", import.meta.url), {
    atOnce: AT_ONCE,
    idleMs: IDLE_MS,
    maxMemoryMb: MAX_MEMORY_MB,
  });
  const run = async <T extends Done>(work: Work, timeoutMs: number): Promise<T> => {
    const done = await threads.run<T | { refused: { code: ErrorCode; message: string } }>(work, timeoutMs);
    if ("refused" in done) throw new KamadoError(done.refused.code, done.refused.message);
    return done;
  };
  const read: ReadWork = (work, timeoutMs) => run<Read>(work, timeoutMs);
  const shape = { maxTags: all.maxTags, maxDepth: all.maxDepth };
  return {
    async article(html, { url } = {}) {
      const bytes = Buffer.byteLength(html);
      if (bytes > all.maxBytes)
        throw new KamadoError(
          "input_too_large",
          `The page has ${bytes} bytes; the limit is ${all.maxBytes}.`,
        );
      const known = await read({ page: html, url, limits: shape }, all.timeoutMs).catch(() =>
        read({ page: html, url }, BARE_MS),
      );
      return withText(known, url, `The page, of ${bytes} bytes, has no text`);
    },
    async document(given) {
      const { length } = given.bytes;
      if (length > all.maxDocumentBytes)
        throw new KamadoError(
          "input_too_large",
          `The document has ${length} bytes; the limit is ${all.maxDocumentBytes}.`,
        );
      const known = await (isPdf(given.bytes) ? readPdf : readText)(given, all, read);
      return withText(known, given.url, `The document, of ${length} bytes, has no text`);
    },
    async read(url) {
      throw new KamadoError("unsupported_address", `No reader for ${url}.`);
    },
    async chunks({ title, markdown }, size = CHUNK_CHARACTERS) {
      if (markdown.length < MIN_FOR_THREAD) return chunkMarkdown(markdown, size, title);
      return run<Chunk[]>({ markdown, title, size }, BARE_MS);
    },
  };
}

const CHUNK_CHARACTERS = 2_000;
/** Characters. A shorter Markdown takes a few milliseconds, less than a thread needs to start. */
const MIN_FOR_THREAD = 20_000;

type Limits = Required<PageLimits>;
type ReadWork = (work: Work, timeoutMs: number) => Promise<Read>;

async function readText(
  document: DocumentBytes,
  { maxTags, maxDepth, timeoutMs, ...rest }: Limits,
  read: ReadWork,
): Promise<Read> {
  const work = { document, pdf: pdfLimits(rest) };
  return read({ ...work, limits: { maxTags, maxDepth } }, timeoutMs).catch((thrown: unknown) => {
    if (thrown instanceof KamadoError) throw thrown;
    return read(work, BARE_MS);
  });
}

const pdfLimits = ({ maxPdfPages, pdfTimeoutMs }: Pick<Limits, "maxPdfPages" | "pdfTimeoutMs">) => ({
  maxPages: maxPdfPages,
  timeoutMs: pdfTimeoutMs,
});

async function readPdf(document: DocumentBytes, limits: Limits, read: ReadWork): Promise<Read> {
  return read({ document, pdf: pdfLimits(limits) }, limits.pdfTimeoutMs).catch((thrown: unknown) => {
    if (thrown instanceof KamadoError) throw thrown;
    const why = thrown instanceof Error ? thrown.message : String(thrown);
    throw new KamadoError("document_unreadable", `The PDF could not be read within its limits: ${why}`);
  });
}

function withText(known: Read, url: string | null | undefined, otherwise: string): Page {
  const why = known.obstacle === "javascript" ? ": it needs JavaScript to show any" : "";
  if (known.text === "") throw new KamadoError("page_without_text", `${otherwise}${why}.`);
  return pageOf({ ...(url && { url }), ...known });
}

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
