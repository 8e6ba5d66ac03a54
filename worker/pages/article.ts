// Finds the article in a page within limits: on the page's size and nesting, and on the time it takes. The work itself is in
// read-page.ts. It runs in a thread, because some pages are made to keep their reader busy for ever.
import { Semaphore } from "../async/semaphore.ts";
import { inThread } from "../async/thread.ts";
import { KamadoError } from "../errors.ts";
import type { Pages } from "../job/handler.ts";
import { bareText } from "./plain-text.ts";

export type Article = { title: string | null; text: string };
export type PageLimits = { maxBytes?: number; maxTags?: number; maxDepth?: number; timeoutMs?: number };
const PAGE_LIMITS = {
  maxBytes: 5_000_000,
  maxTags: 40_000,
  maxDepth: 250,
  timeoutMs: 10_000,
} as const;

const MAX_MEMORY_MB = 512;
const AT_ONCE = 2;

/** `article` throws `input_too_large`. Of a page that cannot be read in time, it returns the text between the tags. */
export function createPages(limits: PageLimits = {}): Pages {
  const { maxBytes, maxTags, maxDepth, timeoutMs } = { ...PAGE_LIMITS, ...limits };
  const turns = new Semaphore(AT_ONCE);
  return {
    async article(html) {
      const bytes = Buffer.byteLength(html);
      if (bytes > maxBytes)
        throw new KamadoError("input_too_large", `The page has ${bytes} bytes; the limit is ${maxBytes}.`);
      if (isIntricate(html, maxTags, maxDepth)) return bare(html);
      return turns.take(() => readPage(html, timeoutMs).catch(() => bare(html)));
    },
  };
}

const readPage = (html: string, timeoutMs: number) =>
  inThread<Article>(new URL("./page-thread.ts", import.meta.url), html, {
    timeoutMs,
    maxMemoryMb: MAX_MEMORY_MB,
  });

const bare = (html: string): Article => ({ title: null, text: bareText(html) });

// Elements that often have no end tag; to count them would make every long list look deep.
const OPEN_ENDED =
  /^(area|base|br|col|embed|hr|img|input|link|meta|source|track|wbr|p|li|dt|dd|tr|td|th|option)$/i;

/** Counts tags without parsing: a rough depth is enough to tell an ordinary page from a trap. */
function isIntricate(html: string, maxTags: number, maxDepth: number): boolean {
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
