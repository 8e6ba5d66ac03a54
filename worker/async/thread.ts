// One piece of work on something from outside, in a thread that lives for it alone: the event loop stays free for
// leases, work that never ends is ended, and the memory it took is given back.
import { type Transferable, Worker } from "node:worker_threads";

export type ThreadOptions = { timeoutMs: number; maxMemoryMb?: number; transfer?: readonly Transferable[] };

/** Resolves with the first message the thread posts. Rejects when it throws, ends without one, or takes too long. */
export async function inThread<T>(
  file: URL,
  input: unknown,
  { timeoutMs, maxMemoryMb, transfer = [] }: ThreadOptions,
): Promise<T> {
  const thread = new Worker(file, {
    workerData: input,
    transferList: [...transfer],
    ...(maxMemoryMb !== undefined && { resourceLimits: { maxOldGenerationSizeMb: maxMemoryMb } }),
    // Decoders print their complaints; the thrown error already says it.
    stdout: true,
    stderr: true,
  });
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const timer = setTimeout(() => reject(new Error(`It took longer than ${timeoutMs} ms.`)), timeoutMs);
  thread.once("message", resolve);
  thread.once("error", reject);
  thread.once("exit", () => reject(new Error("The thread ended without a result.")));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    await thread.terminate();
  }
}
