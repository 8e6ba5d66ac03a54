// The thread in which safe-image.ts decodes one HEIC picture.
import { parentPort, workerData } from "node:worker_threads";
import heicDecode from "heic-decode";

const { bytes, maxPixels } = workerData as { bytes: Uint8Array; maxPixels: number };

const pictures = await heicDecode.all({ buffer: bytes });
const first = pictures[0]!;
if (first.width * first.height > maxPixels) {
  parentPort!.postMessage({ is: "too_large", width: first.width, height: first.height });
} else {
  const { width, height, data } = await first.decode();
  parentPort!.postMessage({ is: "pixels", width, height, data }, [data.buffer as ArrayBuffer]);
}
