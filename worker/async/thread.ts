// Runs one piece of work on data from outside in a thread of its own: the event loop stays free for leases, work that takes too
// long is stopped, and its memory is freed.
import { type Transferable, Worker } from "node:worker_threads";

export type ThreadOptions = {
  timeoutMs: number;
  /** Of the objects of JavaScript. */
  maxMemoryMb?: number;
  /** Of the whole process, with the bytes that a thread holds outside of its objects: how much it may grow while the thread runs. */
  maxGrowthMb?: number;
  transfer?: readonly Transferable[];
};

/** How often the memory is looked at. Unpacking takes longer to fill much of it. */
const LOOK_MS = 50;

/** Resolves with the first message that the thread posts. Rejects when the thread throws, ends without a message, or takes too much. */
export async function inThread<T>(
  file: URL,
  input: unknown,
  { timeoutMs, maxMemoryMb, maxGrowthMb = Number.POSITIVE_INFINITY, transfer = [] }: ThreadOptions,
): Promise<T> {
  const thread = new Worker(file, {
    workerData: input,
    transferList: [...transfer],
    ...(maxMemoryMb !== undefined && { resourceLimits: { maxOldGenerationSizeMb: maxMemoryMb } }),
    // Decoders print their complaints; the error that they throw says the same.
    stdout: true,
    stderr: true,
  });
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = setTimeout(() => reject(new Error(`It took longer than ${timeoutMs} ms.`)), timeoutMs);
  const most = process.memoryUsage.rss() + maxGrowthMb * 1e6;
  const look = setInterval(() => {
    if (process.memoryUsage.rss() > most) reject(new Error(`It took more than ${maxGrowthMb} MB of memory.`));
  }, LOOK_MS);
  thread.once("message", resolve);
  thread.once("error", reject);
  thread.once("exit", () => reject(new Error("The thread ended without a result.")));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    clearInterval(look);
    await thread.terminate();
  }
}
