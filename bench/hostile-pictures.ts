// Small files that are pictures by their first bytes and cost a decoder far more than their size: many scans, many frames, many
// pixels in few bytes. Built here, so that no such file lies in the repository.
import { crc32, deflateSync } from "node:zlib";
import sharp from "sharp";

const SCAN = 0xda;
const END = 0xd9;

/** A progressive JPEG whose first scan is followed by so many empty ones. A decoder goes over the whole picture for each. */
export async function jpegOfScans(scans: number, edge = 1_000): Promise<Buffer> {
  const create = { width: edge, height: edge, channels: 3, background: "#c33" } as const;
  const jpeg = await sharp({ create }).jpeg({ progressive: true }).toBuffer();
  const end = jpeg.lastIndexOf(Buffer.from([0xff, END]));
  const last = jpeg.lastIndexOf(Buffer.from([0xff, SCAN]));
  const scan = jpeg.subarray(last, end);
  return Buffer.concat([jpeg.subarray(0, end), ...Array<Buffer>(scans).fill(scan), jpeg.subarray(end)]);
}

/** An animated WebP of so many frames of one pixel's data on a canvas of `edge` by `edge`. */
export async function webpOfFrames(frames: number, edge = 4_000): Promise<Buffer> {
  const create = { width: 1, height: 1, channels: 3, background: "#c33" } as const;
  const still = await sharp({ create }).webp({ lossless: true }).toBuffer();
  const data = still.subarray(12);
  const header = Buffer.alloc(16);
  header.writeUIntLE(100, 12, 3);
  const frame = chunk("ANMF", Buffer.concat([header, data]));
  const canvas = Buffer.alloc(10);
  canvas[0] = 0x02;
  canvas.writeUIntLE(edge - 1, 4, 3);
  canvas.writeUIntLE(edge - 1, 7, 3);
  const body = Buffer.concat([
    Buffer.from("WEBP"),
    chunk("VP8X", canvas),
    chunk("ANIM", Buffer.alloc(6)),
    ...Array<Buffer>(frames).fill(frame),
  ]);
  return chunk("RIFF", body);
}

function chunk(name: string, data: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.write(name, "latin1");
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, data, Buffer.alloc(data.length % 2)]);
}

/** A PNG of one colour with 16 bits a channel. Its pixels take 8 bytes each, its file almost none. */
export function png16(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([16, 6], 8);
  const row = Buffer.alloc(1 + width * 8);
  const pixels = deflateSync(Buffer.concat(Array<Buffer>(height).fill(row)));
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    pngChunk("IHDR", header),
    pngChunk("IDAT", pixels),
    pngChunk("IEND", Buffer.alloc(0)),
  ]);
}

function pngChunk(name: string, data: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(name, "latin1"), data]);
  const [length, sum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(data.length);
  sum.writeUInt32BE(crc32(named));
  return Buffer.concat([length, named, sum]);
}
