// The thread in which decoder-main.ts decodes one HEIC picture.
import { parentPort, workerData } from "node:worker_threads";
import heicDecode from "heic-decode";
import { tooLargeByHeader } from "./bounds.ts";

export type DecodedHeic =
  | { is: "pixels"; width: number; height: number; data: Uint8ClampedArray }
  | { is: "too_large"; message: string };

const { bytes, maxPixels } = workerData as { bytes: Uint8Array; maxPixels: number };

const pictures = await heicDecode.all({ buffer: bytes });
const first = pictures[0]!;
const message = tooLargeByHeader(
  { width: first.width, height: first.height, channels: 4, depth: "uchar" },
  maxPixels,
);
if (message !== undefined) parentPort!.postMessage({ is: "too_large", message } satisfies DecodedHeic);
else {
  const { width, height, data } = await first.decode();
  parentPort!.postMessage({ is: "pixels", width, height, data } satisfies DecodedHeic, [
    data.buffer as ArrayBuffer,
  ]);
}
