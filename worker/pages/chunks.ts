// Cuts long texts up, and ranks many, in a thread, so that the event loop stays free for leases and health checks. How a text is cut is
// decided in job/text.ts, and how texts are ranked in rank.ts.
import { Semaphore } from "../async/semaphore.ts";
import { inThread } from "../async/thread.ts";
import type { Texts } from "../job/handler.ts";
import { chunkText } from "../job/text.ts";
import type { Work } from "./page-thread.ts";
import type { RankWork } from "./rank-thread.ts";

/** A shorter text takes a few milliseconds, less than a thread needs to start. Characters. */
const MIN_FOR_THREAD = 20_000;
/** A text of 5 MB takes about a second. */
const TIMEOUT_MS = 30_000;
const MAX_MEMORY_MB = 512;
const AT_ONCE = 2;

export function createTexts(): Texts {
  const turns = new Semaphore(AT_ONCE);
  const worked = <T>(file: string, work: Work | RankWork) =>
    turns.take(() =>
      inThread<T>(new URL(file, import.meta.url), work, {
        timeoutMs: TIMEOUT_MS,
        maxMemoryMb: MAX_MEMORY_MB,
      }),
    );
  return {
    async chunks(text, size) {
      if (text.length < MIN_FOR_THREAD) return chunkText(text, size);
      return worked<string[]>("./page-thread.ts", { chunk: text, size });
    },
    async rank(texts, queries) {
      if (lengthOf(texts) + lengthOf(queries) < MIN_FOR_THREAD) {
        // Most workers never rank, so the library is loaded when it is needed.
        const { rankTexts } = await import("./rank.ts");
        return rankTexts(texts, queries);
      }
      return worked<number[]>("./rank-thread.ts", { texts, queries });
    },
  };
}

const lengthOf = (texts: readonly string[]) => texts.reduce((sum, { length }) => sum + length, 0);
