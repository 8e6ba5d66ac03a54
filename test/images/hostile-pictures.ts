// Small files that cost a decoder much time or memory, built here so that no large file is kept in the repository.
import { constants, crc32, deflateSync } from "node:zlib";
import sharp from "sharp";

const u32 = (...values: number[]) => {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4);
  return bytes;
};
const repeated = (part: Buffer, times: number) => Buffer.concat(Array<Buffer>(times).fill(part));

// --- PNG

function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  return Buffer.concat([u32(data.length), body, u32(crc32(body))]);
}

/** The zlib stream of so many zero bytes, without ever holding them. */
function zeros(length: number): Buffer {
  const step = 1 << 20;
  const flush = { level: 9, finishFlush: constants.Z_FULL_FLUSH };
  const block = deflateSync(Buffer.alloc(step), flush).subarray(2);
  const rest = deflateSync(Buffer.alloc(length % step), flush).subarray(2);
  const lastBlock = Buffer.from([1, 0, 0, 0xff, 0xff]);
  // Adler-32 of zeros: the first sum stays 1, the second counts them.
  const adler = u32((((length % 65_521) << 16) | 1) >>> 0);
  const blocks = repeated(block, Math.floor(length / step));
  return Buffer.concat([Buffer.from([0x78, 0xda]), blocks, rest, lastBlock, adler]);
}

/** A black PNG with all of its data; `extra` chunks stand before the data. */
export function png(
  width: number,
  height: number,
  { bitDepth = 8, colour = 6, extra = [] as Buffer[] } = {},
) {
  const channels = { 0: 1, 2: 3, 6: 4 }[colour]!;
  const header = Buffer.concat([u32(width, height), Buffer.from([bitDepth, colour, 0, 0, 0])]);
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    pngChunk("IHDR", header),
    ...extra,
    pngChunk("IDAT", zeros(height * (1 + (width * channels * bitDepth) / 8))),
    pngChunk("IEND", Buffer.alloc(0)),
  ]);
}

export const pngWithTexts = (count: number) =>
  png(8, 8, { extra: Array<Buffer>(count).fill(pngChunk("tEXt", Buffer.from("a\0b"))) });

// --- JPEG

/** A progressive JPEG of one colour with a scan of no content so many times; a decoder goes over the whole picture for each. */
export async function jpegWithScans(scans: number, edge = 7_000): Promise<Buffer> {
  const plain = await sharp({ create: { width: edge, height: edge, channels: 3, background: "#804020" } })
    .jpeg({ progressive: true })
    .toBuffer();
  // A scan of the brightness with the table that stands before it.
  const start = plain.indexOf(Buffer.from("\xff\xda\0\x08\x01\x01\0\x06\x3f\x02", "latin1"));
  const table = plain.subarray(plain.lastIndexOf(Buffer.from([0xff, 0xc4]), start), start);
  const scan = Buffer.from(plain.subarray(start, plain.indexOf(Buffer.from([0xff, 0xc4]), start)));
  // It says that it sends all bits, so that a decoder takes it any number of times.
  scan[9] = 0;
  return Buffer.concat([plain.subarray(0, -2), table, repeated(scan, scans), plain.subarray(-2)]);
}

// --- WebP

export async function webpWithFrames(frames: number): Promise<Buffer> {
  const one = await sharp({ create: { width: 1, height: 1, channels: 3, background: "red" } })
    .webp({ lossless: true })
    .toBuffer();
  const frame = riff("ANMF", Buffer.concat([Buffer.alloc(16), one.subarray(12)]));
  const head = riff("VP8X", Buffer.from([2, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
  const chunks = [head, riff("ANIM", Buffer.alloc(6)), repeated(frame, frames)];
  return riff("RIFF", Buffer.concat([Buffer.from("WEBP"), ...chunks]));
}

function riff(type: string, data: Buffer): Buffer {
  const head = Buffer.from(`${type}\0\0\0\0`, "latin1");
  head.writeUInt32LE(data.length, 4);
  return Buffer.concat([head, data, Buffer.alloc(data.length % 2)]);
}

// --- GIF

/** Frames of one pixel on a canvas as large as asked. */
export function gifWithFrames(frames: number, width = 1, height = 1): Buffer {
  const head = Buffer.from("GIF89a\0\0\0\0\x80\0\0\0\0\0\xff\xff\xff", "latin1");
  head.writeUInt16LE(width, 6);
  head.writeUInt16LE(height, 8);
  const frame = Buffer.from("\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0", "latin1");
  return Buffer.concat([head, repeated(frame, frames), Buffer.from(";")]);
}

// --- TIFF

type Tag = readonly [tag: number, type: number, value: number];
const SHORT = 3;
const LONG = 4;

/** Directories in a chain; each describes a picture whose only strip has hardly any data. */
export function tiff(width: number, height: number, { pages = 1, channels = 1, bits = 8 } = {}): Buffer {
  const tags: Tag[] = [
    [256, LONG, width],
    [257, LONG, height],
    [258, SHORT, bits],
    [259, SHORT, 1],
    [262, SHORT, 1],
    [273, LONG, 8],
    [277, SHORT, channels],
    [278, LONG, height],
    [279, LONG, 8],
  ];
  const size = 6 + tags.length * 12;
  const directory = (page: number) => {
    const bytes = Buffer.alloc(size);
    bytes.writeUInt16LE(tags.length);
    for (const [index, [tag, type, value]] of tags.entries()) {
      const at = 2 + index * 12;
      bytes.writeUInt16LE(tag, at);
      bytes.writeUInt16LE(type, at + 2);
      bytes.writeUInt32LE(1, at + 4);
      bytes.writeUInt32LE(value, at + 8);
    }
    bytes.writeUInt32LE(page + 1 < pages ? 16 + (page + 1) * size : 0, size - 4);
    return bytes;
  };
  const head = Buffer.from("II*\0\x10\0\0\0\0\0\0\0\0\0\0\0", "latin1");
  return Buffer.concat([head, ...Array.from({ length: pages }, (_, page) => directory(page))]);
}

// --- AVIF

/** A few bytes that decode to as many pixels as asked, with alpha and 12 bits a sample. */
export const avif = (width: number, height: number): Promise<Buffer> =>
  sharp({ create: { width, height, channels: 4, background: { r: 9, g: 9, b: 9, alpha: 0.5 } } })
    .avif({ effort: 0, bitdepth: 12, chromaSubsampling: "4:4:4" })
    .toBuffer();
