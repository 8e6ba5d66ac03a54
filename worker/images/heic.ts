// Pixels of a HEIC picture, as an iPhone takes it: sharp's prebuilt has no HEVC decoder, so libheif in WebAssembly does it.
// In a thread of its own, because decoding takes seconds and a WebAssembly memory never shrinks again.
import { inThread } from "../async/thread.ts";

export type Decoded =
  | { is: "pixels"; width: number; height: number; data: Uint8ClampedArray }
  | { is: "too_large"; width: number; height: number };

const TIMEOUT_MS = 60_000;

/** RGBA pixels, turned upright as the file says. The stated dimensions are checked before anything is decoded. */
export function decodeHeic(bytes: Uint8Array, maxPixels: number): Promise<Decoded> {
  // A copy of exactly these bytes: they may be a window on a larger buffer, which would travel whole.
  const copy = new Uint8Array(bytes);
  return inThread(
    new URL("./heic-thread.ts", import.meta.url),
    { bytes: copy, maxPixels },
    { timeoutMs: TIMEOUT_MS, transfer: [copy.buffer] },
  );
}
