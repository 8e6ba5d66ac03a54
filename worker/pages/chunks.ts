// Cuts long texts up, and ranks many, in a thread, so that the event loop stays free for leases and health checks. How a text is cut is
// decided in job/text.ts, and how texts are ranked in rank.ts.
import type { Texts } from "../job/handler.ts";
import { chunkText } from "../job/text.ts";
import { MIN_FOR_THREAD, pageThreads } from "./article.ts";
import type { Work } from "./page-thread.ts";

/** A text of 5 MB takes about a second. */
const TIMEOUT_MS = 30_000;

export function createTexts(): Texts {
  const threads = pageThreads();
  const run = <T>(work: Work) => threads.run<T>(work, TIMEOUT_MS);
  return {
    async chunks(text, size) {
      if (text.length < MIN_FOR_THREAD) return chunkText(text, size);
      return run<string[]>({ chunk: text, size });
    },
    async rank(texts, queries) {
      if (lengthOf(texts) + lengthOf(queries) < MIN_FOR_THREAD) {
        // Most workers never rank, so the library is loaded when it is needed.
        const { rankTexts } = await import("./rank.ts");
        return rankTexts(texts, queries);
      }
      return run<number[]>({ texts, queries });
    },
  };
}

const lengthOf = (texts: readonly string[]) => texts.reduce((sum, { length }) => sum + length, 0);
