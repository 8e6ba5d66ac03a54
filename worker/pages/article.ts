// Reads pages and other documents within limits: on their size and nesting, and on the time and memory it takes. The work itself is in
// the files that page-thread.ts names. It runs in a thread, because some documents are made to keep their reader busy for ever.
import { Semaphore } from "../async/semaphore.ts";
import { inThread } from "../async/thread.ts";
import { type WarmThreads, warmThreads } from "../async/warm-threads.ts";
import { KamadoError } from "../errors.ts";
import type { Chunk, Page, Pages } from "../job/handler.ts";
import { chunkMarkdown } from "./chunk-markdown.ts";
import { type DocumentBytes, isPdf, type KnownPage, type Refused } from "./document.ts";
import type { Done, Work } from "./page-thread.ts";
import type { PdfWork } from "./pdf-thread.ts";

export type PageLimits = {
  maxBytes?: number;
  maxTags?: number;
  maxDepth?: number;
  timeoutMs?: number;
  bareTimeoutMs?: number;
  maxDocumentBytes?: number;
  maxPdfPages?: number;
  pdfTimeoutMs?: number;
  maxPdfMemoryMb?: number;
};
export const PAGE_LIMITS = {
  maxBytes: 5_000_000,
  maxTags: 40_000,
  maxDepth: 250,
  timeoutMs: 10_000,
  /** The text between the tags takes time in proportion to the page, at most about a second. */
  bareTimeoutMs: 30_000,
  maxDocumentBytes: 10 * 1024 * 1024,
  maxPdfPages: 1_000,
  pdfTimeoutMs: 60_000,
  /** A few bytes can be packed so that they become gigabytes. */
  maxPdfMemoryMb: 768,
} as const;

const MAX_MEMORY_MB = 512;
const AT_ONCE = 2;
const IDLE_MS = 10_000;
const PAGE_THREAD = new URL("./page-thread.ts", import.meta.url);
const PDF_THREAD = new URL("./pdf-thread.ts", import.meta.url);
/** For pages, and for texts that are cut up or ranked. */
export const pageThreads = (): WarmThreads =>
  warmThreads(PAGE_THREAD, { atOnce: AT_ONCE, idleMs: IDLE_MS, maxMemoryMb: MAX_MEMORY_MB });
/** Characters. A shorter text takes a few milliseconds, less than a thread needs to start. */
export const MIN_FOR_THREAD = 20_000;

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
  const shape = { maxTags: all.maxTags, maxDepth: all.maxDepth };
  const threads = pageThreads();
  const run = async <T extends Done>(work: Work, timeoutMs: number) =>
    unlessRefused(await threads.run<T | Refused>(work, timeoutMs));
  /** What cannot be parsed within its limits is read without them, tag by tag. */
  const read = (work: Work) =>
    run<KnownPage>({ ...work, limits: shape }, all.timeoutMs).catch((thrown: unknown) => {
      if (thrown instanceof KamadoError) throw thrown;
      return run<KnownPage>(work, all.bareTimeoutMs).catch(beyondLimits("document"));
    });
  const pdfs = new Semaphore(1);
  return {
    async article(html, { url } = {}) {
      const bytes = Buffer.byteLength(html);
      checkSize(bytes, all.maxBytes, "page");
      return withText(await read({ page: html, url }), "page", bytes);
    },
    async document(given) {
      const { bytes } = given;
      checkSize(bytes.length, all.maxDocumentBytes, "document");
      const known = isPdf(bytes)
        ? await pdfs.take(() => readPdf(bytes, all))
        : await read({ document: given });
      return withText({ ...(given.url && { url: given.url }), ...known }, "document", bytes.length);
    },
    async read(url) {
      throw new KamadoError("unsupported_address", `No reader for ${url}.`);
    },
    async chunks({ title, markdown }, size = CHUNK_CHARACTERS) {
      if (markdown.length < MIN_FOR_THREAD) return chunkMarkdown(markdown, size, title);
      return run<Chunk[]>({ markdown, title, size }, all.bareTimeoutMs).catch(beyondLimits("Markdown"));
    },
  };
}

const CHUNK_CHARACTERS = 2_000;

function checkSize(bytes: number, limit: number, what: "page" | "document"): void {
  if (bytes > limit)
    throw new KamadoError("input_too_large", `The ${what} has ${bytes} bytes; the limit is ${limit}.`);
}

function withText(known: KnownPage, what: "page" | "document", bytes: number): Page {
  const why = known.obstacle === "javascript" ? ": it needs JavaScript to show any" : "";
  if (known.text === "")
    throw new KamadoError("page_without_text", `The ${what}, of ${bytes} bytes, has no text${why}.`);
  return pageOf(known);
}

function unlessRefused<T extends Done>(done: T | Refused): T {
  if ("refused" in done) throw new KamadoError(done.refused.code, done.refused.message);
  return done as T;
}

/** It took too long or too much memory. That ends what wanted it, and nothing else. */
const beyondLimits = (what: string) => (thrown: Error) => {
  if (thrown instanceof KamadoError) throw thrown;
  throw new KamadoError(
    "document_unreadable",
    `The ${what} cannot be read within its limits: ${thrown.message}`,
  );
};

type PdfLimits = Required<Pick<PageLimits, "maxPdfPages" | "pdfTimeoutMs" | "maxPdfMemoryMb">>;

async function readPdf(bytes: Uint8Array, limits: PdfLimits): Promise<KnownPage> {
  const work: PdfWork = { bytes, maxPages: limits.maxPdfPages };
  const { pdfTimeoutMs: timeoutMs, maxPdfMemoryMb: maxExternalMb } = limits;
  const options = { timeoutMs, maxExternalMb, maxMemoryMb: MAX_MEMORY_MB };
  const read = await inThread<KnownPage | Refused>(PDF_THREAD, work, options).catch(beyondLimits("PDF"));
  return unlessRefused(read);
}

/** A page of which only this is known. */
export const pageOf = (known: KnownPage): Page => ({
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
