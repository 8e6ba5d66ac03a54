// Pictures for tests: as a handler gets them from the worker.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { crc32, deflateSync } from "node:zlib";
import { safeImage } from "../worker/images/safe-image.ts";
import type { SafeImage } from "../worker/job/handler.ts";

/** A small picture of one colour, always the same. For a scripted model, which does not look at it. */
export function samplePicture({ width = 8, height = 8, grey = 128 } = {}): SafeImage {
  const bytes = png(width, height, grey);
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  return { dataUri: `data:image/png;base64,${bytes.toString("base64")}`, width, height, sha256 };
}

/** A file as the worker gives it to a handler: decoded, turned upright, made small. Throws what a job's sender would be told. */
export const readPicture = async (file: string): Promise<SafeImage> => safeImage(await readFile(file));

const SIGNATURE = Buffer.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** One byte a pixel, and before each line the byte for "as it stands". */
function png(width: number, height: number, grey: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  const line = Buffer.concat([Buffer.from([0]), Buffer.alloc(width, grey)]);
  const pixels = Buffer.concat(Array.from({ length: height }, () => line));
  const chunks = [chunk("IHDR", header), chunk("IDAT", deflateSync(pixels)), chunk("IEND", Buffer.alloc(0))];
  return Buffer.concat([SIGNATURE, ...chunks]);
}

function chunk(name: string, data: Buffer): Buffer {
  const size = Buffer.alloc(4);
  const sum = Buffer.alloc(4);
  const body = Buffer.concat([Buffer.from(name, "latin1"), data]);
  size.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(body));
  return Buffer.concat([size, body, sum]);
}
