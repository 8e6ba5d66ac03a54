// What a picture may state and repeat before anything decodes it.

import sharp from "sharp";
import { expect, test } from "vitest";
import { gifWithFrames, jpegWithScans, tiff, webpWithFrames } from "../../bench/hostile-pictures.ts";
import { tooLargeByContainer, tooLargeByHeader } from "../../worker/images/bounds.ts";
import type { PictureFormat } from "../../worker/images/format.ts";

const header = { width: 100, height: 100, channels: 3, depth: "uchar" };
const create = { width: 100, height: 100, channels: 3, background: "red" } as const;

test.for([
  [{}, undefined],
  [{ width: 50_000, height: 1_000 }, undefined],
  [{ width: 50_001, height: 1_000 }, "50001 x 1000 pixels; the limit is 50 million"],
  [{ width: 65_535, height: 10 }, undefined],
  [{ width: 65_536, height: 10 }, "65536 x 10 pixels; the limit is 65535 on each side"],
  [{ width: 10, height: 5_000_000 }, "10 x 5000000 pixels; the limit is 65535 on each side"],
  [{ channels: 4, depth: "ushort" }, undefined],
  [{ channels: 5, depth: "ushort" }, "10 bytes for each pixel; the limit is 8"],
  [{ channels: 3, depth: "float" }, "12 bytes for each pixel; the limit is 8"],
  [{ channels: 60_000 }, "60000 bytes for each pixel; the limit is 8"],
] as const)("a header with %j: %s", ([part, expected]) => {
  const found = tooLargeByHeader({ ...header, ...part }, 50_000_000);
  if (expected === undefined) expect(found).toBeUndefined();
  else expect(found).toContain(expected);
});

test("a JPEG may have 100 scans", async () => {
  const ownScans = 10;
  expect(tooLargeByContainer("jpeg", await jpegWithScans(100 - ownScans, 64))).toBeUndefined();
  expect(tooLargeByContainer("jpeg", await jpegWithScans(101 - ownScans, 64))).toContain(
    "more than 100 scans",
  );
});

test("what only looks like a scan is not counted: thumbnails inside a segment, and what follows the end", async () => {
  const plain = await sharp({ create }).jpeg().toBuffer();
  const scan = Buffer.from([0xff, 0xda, 0, 2]);
  const scans = Buffer.concat(Array(1_000).fill(scan));
  const segment = Buffer.concat([
    Buffer.from([0xff, 0xe1, (scans.length + 2) >> 8, (scans.length + 2) & 0xff]),
    scans,
  ]);
  const withThumbnail = Buffer.concat([plain.subarray(0, 2), segment, plain.subarray(2)]);
  expect(tooLargeByContainer("jpeg", withThumbnail)).toBeUndefined();
  expect(tooLargeByContainer("jpeg", Buffer.concat([plain, scans]))).toBeUndefined();
});

test.for([
  ["webp", webpWithFrames],
  ["gif", async (frames: number) => gifWithFrames(frames)],
  ["tiff", async (pages: number) => tiff(8, 8, { pages })],
] as const)("a %s may have 5,000 frames or pages", async ([format, withFrames]) => {
  expect(tooLargeByContainer(format, await withFrames(5_000))).toBeUndefined();
  expect(tooLargeByContainer(format, await withFrames(5_001))).toContain("more than 5000 frames or pages");
});

test("bytes that end anywhere or make no sense are left to the decoder", async () => {
  const whole = {
    jpeg: await jpegWithScans(3, 64),
    webp: await webpWithFrames(3),
    gif: gifWithFrames(3),
    tiff: tiff(8, 8, { pages: 3 }),
  };
  for (const [format, bytes] of Object.entries(whole))
    for (let length = 12; length <= bytes.length; length++)
      expect(tooLargeByContainer(format as PictureFormat, bytes.subarray(0, length))).toBeUndefined();
});

test("pages of a TIFF are counted in both orders of bytes, and in a BigTIFF; a chain that is a circle has too many", () => {
  const circles = [
    tiffCircle("II*\0\x08\0\0\0", "\0\0\x08\0\0\0"),
    tiffCircle("MM\0*\0\0\0\x08", "\0\0\0\0\0\x08"),
    tiffCircle("II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0", "\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0"),
  ];
  for (const circle of circles) expect(tooLargeByContainer("tiff", circle)).toContain("pages");
});

/** Its only directory has no entries, and names itself as the next. */
const tiffCircle = (head: string, directory: string) => Buffer.from(head + directory, "latin1");
