// The limits that a picture must keep before anything decodes it, read from its container and its header. A decoder's work grows
// with what a few bytes can state or repeat: pixels, the length of a row, bytes a pixel, scans, frames. Pure.
import type { PictureFormat } from "./format.ts";

/** The longest side of a JPEG. Decoders keep some rows in memory, whatever the number of pixels. */
const MAX_SIDE = 65_535;
/** Four channels of 16 bits. */
const MAX_BYTES_A_PIXEL = 8;
/** Cameras and programs write about ten. A decoder goes over the whole picture for each of them. */
const MAX_SCANS = 100;
/** A minute and more of animation. Only the first frame is decoded, but decoders list all of them first. */
const MAX_FRAMES = 5_000;

export type Header = { width: number; height: number; channels: number; depth: string };

/** Why a picture of this header is too large; undefined when it is not. */
export function tooLargeByHeader(header: Header, maxPixels: number): string | undefined {
  const { width, height, channels } = header;
  const size = `The picture has ${width} x ${height} pixels`;
  if (width * height > maxPixels) return `${size}; the limit is ${maxPixels / 1_000_000} million.`;
  if (Math.max(width, height) > MAX_SIDE) return `${size}; the limit is ${MAX_SIDE} on each side.`;
  const bytes = channels * (BYTES_A_SAMPLE[header.depth] ?? 1);
  return bytes > MAX_BYTES_A_PIXEL
    ? `The picture has ${bytes} bytes for each pixel; the limit is ${MAX_BYTES_A_PIXEL}.`
    : undefined;
}

/** By libvips' names. */
const BYTES_A_SAMPLE: Record<string, number> = {
  ushort: 2,
  short: 2,
  uint: 4,
  int: 4,
  float: 4,
  complex: 8,
  double: 8,
  dpcomplex: 16,
};

/** Why a picture of this container is too large; undefined when it is not. */
export function tooLargeByContainer(format: PictureFormat, bytes: Uint8Array): string | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (format === "jpeg" && !isAtMost(MAX_SCANS, jpegScans(view)))
    return `The picture has more than ${MAX_SCANS} scans.`;
  const frames = FRAMES[format]?.(view) ?? [];
  return isAtMost(MAX_FRAMES, frames)
    ? undefined
    : `The picture has more than ${MAX_FRAMES} frames or pages.`;
}

function isAtMost(limit: number, found: Iterable<unknown>): boolean {
  let count = 0;
  for (const _ of found) if (++count > limit) return false;
  return true;
}

// Each walk yields once for every scan or frame. It ends where the bytes end or make no sense: what is wrong there is for the
// decoder to say.

const START_OF_SCAN = 0xda;
const END_OF_IMAGE = 0xd9;
/** Markers without a segment: the bytes of a scan go on behind them. */
const isInsideScan = (marker: number) =>
  marker <= 0x01 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd8);

function* jpegScans(bytes: Buffer): Iterable<number> {
  let at = 2;
  for (;;) {
    at = bytes.indexOf(0xff, at);
    if (at < 0 || at + 4 > bytes.length) return;
    const marker = bytes[at + 1]!;
    if (marker === END_OF_IMAGE) return;
    if (marker === START_OF_SCAN) yield at;
    // A run of 0xff is padding, and its last one begins the marker.
    at += marker === 0xff ? 1 : isInsideScan(marker) ? 2 : 2 + bytes.readUInt16BE(at + 2);
  }
}

function* webpFrames(bytes: Buffer): Iterable<number> {
  for (let at = 12; at + 8 <= bytes.length; ) {
    if (bytes.toString("latin1", at, at + 4) === "ANMF") yield at;
    const size = bytes.readUInt32LE(at + 4);
    at += 8 + size + (size % 2);
  }
}

const GIF_EXTENSION = 0x21;
const GIF_FRAME = 0x2c;

function* gifFrames(bytes: Buffer): Iterable<number> {
  let at = 13 + colourTable(bytes[10]);
  while (at < bytes.length) {
    if (bytes[at] === GIF_FRAME) {
      yield at;
      at += 11 + colourTable(bytes[at + 9]);
    } else if (bytes[at] === GIF_EXTENSION) at += 2;
    else return;
    // Blocks of data, each behind its length; the last one is empty.
    while (bytes[at]) at += 1 + bytes[at]!;
    at += 1;
  }
}

const colourTable = (flags = 0) => (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0);

/** Directories, each of which ends with the place of the next. A BigTIFF, of version 43, has longer numbers. */
function* tiffPages(bytes: Buffer): Iterable<number> {
  const isLittle = bytes[0] === 0x49;
  const isBig = bytes[isLittle ? 2 : 3] === 43;
  const number = (at: number, size: number) => {
    const part = bytes.subarray(at, at + size);
    return Number(`0x${Buffer.from(isLittle ? part.toReversed() : part).toString("hex") || 0}`);
  };
  const [countSize, entrySize, offsetSize] = isBig ? [8, 20, 8] : [2, 12, 4];
  let at = number(isBig ? 8 : 4, offsetSize);
  while (at > 0 && at < bytes.length) {
    yield at;
    at = number(at + countSize + number(at, countSize) * entrySize, offsetSize);
  }
}

const FRAMES: Partial<Record<PictureFormat, (bytes: Buffer) => Iterable<number>>> = {
  webp: webpFrames,
  gif: gifFrames,
  tiff: tiffPages,
};
