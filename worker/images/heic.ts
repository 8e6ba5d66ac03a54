// Pixels of a HEIC picture, as an iPhone takes it: sharp's prebuilt has no HEVC decoder, so libheif in WebAssembly does it.
// Each picture gets a thread of its own: decoding would stop the event loop for seconds, and a WebAssembly memory
// never shrinks again, while an ended thread gives all of it back.
import { Worker } from "node:worker_threads";

export type Decoded =
  | { is: "pixels"; width: number; height: number; data: Uint8ClampedArray }
  | { is: "too_large"; width: number; height: number };

const TIMEOUT_MS = 60_000;

/** RGBA pixels, turned upright as the file says. The stated dimensions are checked before anything is decoded. */
export async function decodeHeic(bytes: Uint8Array, maxPixels: number): Promise<Decoded> {
  // A copy of exactly these bytes: they may be a window on a larger buffer, which would travel whole.
  const copy = new Uint8Array(bytes);
  const thread = new Worker(new URL("./heic-thread.ts", import.meta.url), {
    workerData: { bytes: copy, maxPixels },
    transferList: [copy.buffer],
    // libheif prints its complaints; the thrown error already says it.
    stdout: true,
    stderr: true,
  });
  const { promise, resolve, reject } = Promise.withResolvers<Decoded>();
  const timer = setTimeout(() => reject(new Error("Decoding took too long.")), TIMEOUT_MS);
  thread.once("message", resolve);
  thread.once("error", reject);
  thread.once("exit", () => reject(new Error("The decoder ended without a picture.")));
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    await thread.terminate();
  }
}
