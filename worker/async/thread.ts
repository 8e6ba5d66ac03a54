// Runs one piece of work on data from outside in a thread of its own: the event loop stays free for leases, work that takes too
// long is stopped, and its memory is freed.
import { type Transferable, Worker } from "node:worker_threads";

export type ThreadOptions = { timeoutMs: number; maxMemoryMb?: number; transfer?: readonly Transferable[] };

/** Resolves with the first message that the thread posts. Rejects when the thread throws, ends without a message, or takes too long. */
export async function inThread<T>(
  file: URL,
  input: unknown,
  { timeoutMs, maxMemoryMb, transfer = [] }: ThreadOptions,
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
