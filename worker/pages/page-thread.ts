// The thread in which article.ts reads one page, or chunks.ts cuts one text up.
import { answerWork } from "../async/warm-threads.ts";
import { chunkText } from "../job/text.ts";
import { feedAsPage } from "./feed.ts";
import { bareText, isIntricate, type PageShape } from "./plain-text.ts";
import type { Article } from "./read-page.ts";

/** `limits`: for a page that is to be parsed unless it goes beyond them. */
export type Work =
  | { page: string; url?: string | undefined; limits?: PageShape }
  | { chunk: string; size: number };

async function done(work: Work): Promise<Article | string[]> {
  if ("chunk" in work) return chunkText(work.chunk, work.size);
  const { limits, url } = work;
  const feed = feedAsPage(work.page);
  const page = feed ?? work.page;
  if (limits === undefined || isIntricate(page, limits))
    return { title: null, url: url ?? null, text: bareText(page) };
  // The parser takes longer to load than the bare text needs.
  const { readPage, readWholePage } = await import("./read-page.ts");
  return feed === null
    ? readPage(page, { url })
    : { ...readWholePage(page), url: url ?? null, format: "feed" };
}

answerWork(done);
