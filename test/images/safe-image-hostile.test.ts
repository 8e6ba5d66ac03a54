// Pictures that are made to cost: each is refused for what it is, and neither its memory nor its time is the worker's.
// `HOSTILE_PICTURES=10000` for a long look at damaged ones.
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import * as hostile from "../../bench/hostile-pictures.ts";
import { KamadoError } from "../../worker/errors.ts";
import { IMAGE_LIMITS, type ImageLimits, safeImage } from "../../worker/images/safe-image.ts";
import fc from "../properties.ts";
import { decoderPids, memoryOf, NO_PROC } from "./decoder-processes.ts";

const { HOSTILE_PICTURES: asked } = process.env;
const PICTURES = Number(asked ?? 150);
const LIMIT_MS = asked ? 3_600_000 : 120_000;
const MB = 1_000_000;
/** As many as are decoded at the same time. */
const AT_ONCE = 2;

const HEIC = readFileSync(new URL("../fixtures/red-blue.heic", import.meta.url));
const plain = (width: number, height: number) =>
  sharp({ create: { width, height, channels: 3, background: "#804020" } });

async function codeOf(bytes: Uint8Array, limits: ImageLimits = {}, signal?: AbortSignal): Promise<string> {
  try {
    await safeImage(bytes, limits, signal);
    return "decoded";
  } catch (thrown) {
    if (thrown instanceof KamadoError) return `${thrown.code}: ${thrown.message}`;
    throw thrown;
  }
}

describe("a small file that stands for much work is too large, not damaged", () => {
  test.for<readonly [string, () => Buffer | Promise<Buffer>]>([
    ["a progressive JPEG of 15,000 empty scans", () => hostile.jpegWithScans(15_000)],
    ["a WebP of 200,000 frames", () => hostile.webpWithFrames(200_000)],
    ["a GIF of 400,000 frames", () => hostile.gifWithFrames(400_000)],
    ["a PNG of 5,000,000 x 10 pixels of 16 bits", () => hostile.png(5_000_000, 10, { bitDepth: 16 })],
    ["a GIF of 60,000 x 60,000", () => hostile.gifWithFrames(1, 60_000, 60_000)],
    ["a TIFF of 150,000 pages", () => hostile.tiff(8, 8, { pages: 150_000 })],
    ["a TIFF of 60,000 x 60,000", () => hostile.tiff(60_000, 60_000)],
    ["a HEIC that states 60,000 x 60,000", () => withSize(HEIC, 60_000)],
    [
      "an AVIF that states 60,000 x 60,000",
      async () => withSize(await plain(64, 64).avif({ effort: 0 }).toBuffer(), 60_000),
    ],
  ])("%s", async ([, make]) => {
    const bytes = await make();
    let code: string | undefined;
    const memory = await memoryOf(async () => {
      code = await codeOf(bytes);
    });
    expect(code).toContain("image_too_large: The picture has ");
    // The bytes are copied on their way to the process that decodes them.
    if (NO_PROC === null) expect(memory).toBeLessThan(60 * MB);
  });

  test("an AVIF of a few bytes that takes more memory than the limit", async () => {
    const bytes = await hostile.avif(4_000, 3_000);
    expect(bytes.length).toBeLessThan(2_000);
    expect(await codeOf(bytes, { maxMemoryBytes: 250 * MB })).toBe(
      "image_too_large: The picture takes more than 250 MB to decode, the limit.",
    );
  });

  test("a PNG that takes longer than the limit, where as many pixels are allowed", async () => {
    expect(await codeOf(hostile.slow(), { cpuSeconds: 1, maxPixels: hostile.SLOW_PIXELS })).toBe(
      "image_too_large: The picture takes more than 1 s of the CPU to decode, the limit.",
    );
    expect(await codeOf(hostile.slow(), { seconds: 1, maxPixels: hostile.SLOW_PIXELS })).toBe(
      "image_too_large: The picture takes longer to decode than 1 s, the limit.",
    );
  });
});

/** Every property that states a size (ISO/IEC 23008-12, `ispe`) states this one. */
function withSize(bytes: Buffer, side: number): Buffer {
  const changed = Buffer.from(bytes);
  for (let at = changed.indexOf("ispe"); at >= 0; at = changed.indexOf("ispe", at + 4)) {
    changed.writeUInt32BE(side, at + 8);
    changed.writeUInt32BE(side, at + 12);
  }
  return changed;
}

test("a picture as large as the limits allow is decoded", async () => {
  expect(await codeOf(hostile.png(7_000, 7_000, { bitDepth: 16 }))).toBe("decoded");
  expect(await codeOf(hostile.png(65_535, 700))).toBe("decoded");
});

test("one that begins like a format that is not taken is not decoded by whatever knows it", async () => {
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>`;
  for (const head of ["II*\0", "GIF89a", "\xff\xd8\xff", "RIFF\0\0\0\0WEBP"])
    expect(await codeOf(Buffer.from(head + svg, "latin1"))).toContain("image_undecodable");
});

// --- Damaged pictures

const noisy = () =>
  sharp({
    create: {
      width: 48,
      height: 32,
      channels: 3,
      background: "grey",
      noise: { type: "gaussian", mean: 128, sigma: 40 },
    },
  });
const SMALL = {
  jpeg: () => noisy().jpeg().toBuffer(),
  "progressive jpeg": () => noisy().jpeg({ progressive: true }).withMetadata({ orientation: 6 }).toBuffer(),
  png: () => noisy().png().toBuffer(),
  "interlaced png": () => noisy().toColourspace("rgb16").png({ progressive: true }).toBuffer(),
  webp: () => noisy().webp().toBuffer(),
  "animated webp": () => hostile.webpWithFrames(3),
  gif: () => noisy().gif().toBuffer(),
  "animated gif": () => hostile.gifWithFrames(3, 9, 9),
  tiff: () => noisy().tiff({ compression: "lzw", tile: true, tileWidth: 16, tileHeight: 16 }).toBuffer(),
  "two tiff pages": () => hostile.tiff(8, 8, { pages: 2 }),
  avif: () => noisy().avif({ effort: 0 }).toBuffer(),
  heic: () => HEIC,
};

type Change = (bytes: Buffer) => Buffer;
/** The first bytes stay: without them it would be no picture. */
const HEAD = 12;
const at = (part: number, bytes: Buffer) =>
  Math.min(bytes.length, HEAD + Math.floor(part * (bytes.length - HEAD)));
const anywhere = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
/** Most of what a format states is at its beginning. */
const place = fc.oneof(
  anywhere,
  anywhere.map((part) => part ** 3),
);
const EXTREMES = [0, 1, 0x7f, 0xff, 0x7fff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 60_000, 7_000];

const overwritten = fc.tuple(place, fc.uint8Array({ minLength: 1, maxLength: 3 })).map(
  ([part, data]): Change =>
    (bytes) => {
      const changed = Buffer.from(bytes);
      changed.set(data.subarray(0, bytes.length - at(part, bytes)), at(part, bytes));
      return changed;
    },
);
const extreme = fc.tuple(place, fc.constantFrom(...EXTREMES), fc.constantFrom(1, 2, 4), fc.boolean()).map(
  ([part, value, size, little]): Change =>
    (bytes) => {
      const changed = Buffer.from(bytes);
      const position = Math.min(at(part, bytes), bytes.length - size);
      const kept = size === 4 ? value : value % 256 ** size;
      if (bytes.length < size) return changed;
      if (little) changed.writeUIntLE(kept, position, size);
      else changed.writeUIntBE(kept, position, size);
      return changed;
    },
);
const cut = place.map(
  (part): Change =>
    (bytes) =>
      bytes.subarray(0, at(part, bytes)),
);
const removed = fc.tuple(place, fc.nat({ max: 64 })).map(
  ([part, size]): Change =>
    (bytes) =>
      Buffer.concat([bytes.subarray(0, at(part, bytes)), bytes.subarray(at(part, bytes) + size)]),
);
const repeated = fc.tuple(place, place, fc.nat({ max: 2_000 })).map(
  ([one, other, times]): Change =>
    (bytes) => {
      const [from, to] = [one, other].map((part) => at(part, bytes)).toSorted((a, b) => a - b) as [
        number,
        number,
      ];
      const part = bytes.subarray(from, Math.min(to, from + 2_000));
      return Buffer.concat([bytes.subarray(0, to), ...Array<Buffer>(times).fill(part), bytes.subarray(to)]);
    },
);
const change = fc.oneof(
  { weight: 4, arbitrary: overwritten },
  { weight: 4, arbitrary: extreme },
  { weight: 1, arbitrary: cut },
  { weight: 2, arbitrary: removed },
  { weight: 1, arbitrary: repeated },
);

const pictures = (sources: readonly Buffer[]) =>
  fc
    .tuple(fc.constantFrom(...sources), fc.array(change, { minLength: 1, maxLength: 2 }))
    .map(([source, changes]) => withChecksums(changes.reduce((bytes, change) => change(bytes), source)));

/** A PNG whose checksums are wrong is refused before anything else is looked at, so they are put right. */
function withChecksums(bytes: Buffer): Buffer {
  if (!bytes.toString("latin1", 0, 4).endsWith("PNG")) return bytes;
  const changed = Buffer.from(bytes);
  for (let start = 8; start + 12 <= changed.length; ) {
    const end = start + 8 + changed.readUInt32BE(start);
    if (end + 4 > changed.length) break;
    changed.writeUInt32BE(crc32(changed.subarray(start + 4, end)), end);
    start = end + 4;
  }
  return changed;
}

test(
  `${PICTURES} damaged pictures are decoded or refused, none outlives its time, and the worker's memory stays`,
  async () => {
    const sources = await Promise.all(Object.values(SMALL).map(async (make) => make()));
    const counts: Record<string, number> = {};
    let longestMs = 0;
    const look = async (bytes: Buffer) => {
      const start = performance.now();
      const found = await codeOf(bytes, {}, AbortSignal.timeout(2 * IMAGE_LIMITS.seconds * 1_000));
      longestMs = Math.max(longestMs, performance.now() - start);
      const what = /takes (longer|more)|^\w+/.exec(found)![0];
      counts[what] = (counts[what] ?? 0) + 1;
    };
    const memory = await memoryOf(() =>
      fc.assert(
        fc.asyncProperty(pictures(sources), pictures(sources), async (...pair) => {
          await Promise.all(pair.map(look));
        }),
        { numRuns: PICTURES / AT_ONCE, endOnFailure: true },
      ),
    );
    if (asked) console.log(JSON.stringify({ ...counts, longestMs: Math.round(longestMs), memory }));
    if (NO_PROC === null) expect(memory).toBeLessThan(300 * MB);
    expect(decoderPids().length).toBeLessThanOrEqual(AT_ONCE);
  },
  LIMIT_MS,
);
