// Threads that stay a while for the next piece of work, so that their modules are loaded and compiled once and not for each. Otherwise
// like thread.ts: work that takes too long is stopped, with its thread. For work that leaves nothing behind.
import { once } from "node:events";
import { parentPort, Worker } from "node:worker_threads";
import { Semaphore } from "./semaphore.ts";

export type WarmThreadsOptions = {
  atOnce: number;
  /** A thread that has nothing to do for so long ends, and gives its memory back. */
  idleMs: number;
  maxMemoryMb: number;
};

export type WarmThreads = {
  /** What `answerWork` makes of the work in the thread. Rejects when that throws, when the thread ends or takes too long. */
  run<T>(work: unknown, timeoutMs: number): Promise<T>;
};

type Idle = { thread: Worker; timer: NodeJS.Timeout };

export function warmThreads(file: URL, { atOnce, idleMs, maxMemoryMb }: WarmThreadsOptions): WarmThreads {
  const turns = new Semaphore(atOnce);
  const idle: Idle[] = [];

  const take = (): Worker => {
    const kept = idle.pop();
    if (kept === undefined) return start(file, maxMemoryMb);
    clearTimeout(kept.timer);
    kept.thread.ref();
    return kept.thread;
  };
  const keep = (thread: Worker): void => {
    thread.unref();
    const end = () => {
      idle.splice(idle.indexOf(kept), 1);
      void thread.terminate();
    };
    const kept: Idle = { thread, timer: setTimeout(end, idleMs).unref() };
    idle.push(kept);
  };
  return {
    run: <T>(work: unknown, timeoutMs: number) =>
      turns.take(async () => {
        const thread = take();
        try {
          const answer = await answerOf<T>(thread, work, timeoutMs);
          keep(thread);
          return answer;
        } catch (thrown) {
          await thread.terminate();
          throw thrown;
        }
      }),
  };
}

function start(file: URL, maxMemoryMb: number): Worker {
  const thread = new Worker(file, {
    resourceLimits: { maxOldGenerationSizeMb: maxMemoryMb },
    stdout: true,
    stderr: true,
  });
  // Whoever waits for an answer hears of it too. Without a listener, it would end this process.
  thread.on("error", () => {});
  return thread;
}

async function answerOf<T>(thread: Worker, work: unknown, timeoutMs: number): Promise<T> {
  const ending = new AbortController();
  const { signal } = ending;
  const tooLate = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => tooLate.reject(new Error(`It took longer than ${timeoutMs} ms.`)),
    timeoutMs,
  );
  // `once` rejects when the thread throws.
  const answer = once(thread, "message", { signal }) as Promise<[T]>;
  const ended = once(thread, "exit", { signal }).then(() => {
    throw new Error("The thread ended without a result.");
  });
  thread.postMessage(work);
  try {
    const [message] = await Promise.race([answer, ended, tooLate.promise]);
    return message;
  } finally {
    clearTimeout(timer);
    ending.abort();
    for (const one of [answer, ended]) one.catch(() => {});
  }
}

/** Called once in the thread. An error that `answer` throws ends the thread. */
export function answerWork(answer: (work: never) => Promise<unknown>): void {
  const port = parentPort!;
  port.on("message", async (work) => port.postMessage(await answer(work as never)));
}
