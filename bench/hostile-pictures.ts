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

/** A clear PNG with all of its data, in four channels. */
export function png(width: number, height: number, { bitDepth = 8 } = {}): Buffer {
  const header = Buffer.concat([u32(width, height), Buffer.from([bitDepth, 6, 0, 0, 0])]);
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    pngChunk("IHDR", header),
    pngChunk("IDAT", zeros(height * (1 + (width * 4 * bitDepth) / 8))),
    pngChunk("IEND", Buffer.alloc(0)),
  ]);
}

/** Works for about a minute, with little memory, where so many pixels are allowed. */
export const SLOW_PIXELS = 1_000_000_000;
export const slow = () => png(65_000, 15_000, { bitDepth: 16 });

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

/** Frames of the size that is asked for, with the data of one pixel. */
export function gifWithFrames(frames: number, width = 1, height = 1): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt16LE(width);
  size.writeUInt16LE(height, 2);
  const colours = Buffer.from("\x80\0\0\0\0\0\xff\xff\xff", "latin1");
  const data = Buffer.from("\0\x02\x02\x44\x01\0", "latin1");
  const frame = Buffer.concat([Buffer.from("\x2c\0\0\0\0"), size, data]);
  return Buffer.concat([Buffer.from("GIF89a"), size, colours, repeated(frame, frames), Buffer.from(";")]);
}

// --- TIFF

const LONG = 4;

/** A directory for each page, in a chain. The only strip has hardly any data. */
export function tiff(width: number, height: number, { pages = 1 } = {}): Buffer {
  // Their names stand in TIFF 6.0, section 8.
  const tags = { 256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 8 };
  const entries = Object.entries(tags).map(([tag, value]) => [Number(tag), value] as const);
  const size = 6 + entries.length * 12;
  const one = Buffer.alloc(size);
  one.writeUInt16LE(entries.length);
  for (const [index, [tag, value]] of entries.entries()) {
    const at = 2 + index * 12;
    one.writeUInt16LE(tag, at);
    one.writeUInt16LE(LONG, at + 2);
    one.writeUInt32LE(1, at + 4);
    one.writeUInt32LE(value, at + 8);
  }
  const all = repeated(one, pages);
  for (let page = 1; page < pages; page++) all.writeUInt32LE(16 + page * size, page * size - 4);
  return Buffer.concat([Buffer.from("II*\0\x10\0\0\0\0\0\0\0\0\0\0\0", "latin1"), all]);
}

// --- AVIF

/** A few bytes that decode to as many pixels as asked, with alpha and 12 bits a sample. */
export const avif = (width: number, height: number): Promise<Buffer> =>
  sharp({ create: { width, height, channels: 4, background: { r: 9, g: 9, b: 9, alpha: 0.5 } } })
    .avif({ effort: 0, bitdepth: 12, chromaSubsampling: "4:4:4" })
    .toBuffer();
