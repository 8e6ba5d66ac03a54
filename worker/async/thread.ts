// Runs one piece of work on data from outside in a thread of its own: the event loop stays free for leases, work that takes too
// long is stopped, and its memory is freed.
import { type Transferable, Worker } from "node:worker_threads";

export type ThreadOptions = {
  timeoutMs: number;
  /** Of the objects of JavaScript. */
  maxMemoryMb?: number;
  /** Of the bytes that it holds outside of its objects, for which `maxMemoryMb` is no limit. */
  maxExternalMb?: number;
  transfer?: readonly Transferable[];
};

/** How often the memory is looked at. Unpacking takes longer to fill much of it. */
const LOOK_MS = 50;

/** Resolves with the first message that the thread posts. Rejects when the thread throws, ends without a message, or takes too much. */
export async function inThread<T>(
  file: URL,
  input: unknown,
  { timeoutMs, maxMemoryMb, maxExternalMb = Number.POSITIVE_INFINITY, transfer = [] }: ThreadOptions,
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
  const look = setInterval(async () => {
    // A thread that ends meanwhile has none.
    const held = await thread.getHeapStatistics().catch(() => ({ external_memory: 0 }));
    if (held.external_memory > maxExternalMb * 1e6)
      reject(new Error(`It took more than ${maxExternalMb} MB of memory.`));
  }, LOOK_MS);
  if (maxExternalMb === Number.POSITIVE_INFINITY) clearInterval(look);
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
