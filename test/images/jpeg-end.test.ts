// JPEGs whose last bytes are missing: how much may be missing, and that what is left must be sound.
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { safeImage } from "../../worker/images/safe-image.ts";

const SIZE = 240;
const raw = Buffer.from(Array.from({ length: SIZE * SIZE * 3 }, (_, index) => (index * 7_919) % 251));
const picture = () => sharp(raw, { raw: { width: SIZE, height: SIZE, channels: 3 } });
const withoutEnd = (jpeg: Buffer, part = 1) => jpeg.subarray(0, Math.floor((jpeg.length - 2) * part));

const scansOf = (jpeg: Buffer) => jpeg.toString("latin1").split("\xff\xda").length - 1;
/** Cut inside of its nth scan. */
function cutInScan(jpeg: Buffer, nth: number): Buffer {
  let at = -1;
  for (let scan = 0; scan < nth; scan++) at = jpeg.indexOf(Buffer.from([0xff, 0xda]), at + 1);
  return jpeg.subarray(0, at + 40);
}

describe("a JPEG without its end is a picture", () => {
  test.each([
    ["one byte of the mark is missing", (jpeg: Buffer) => jpeg.subarray(0, -1)],
    ["the mark is missing", (jpeg: Buffer) => withoutEnd(jpeg)],
    ["the last rows are missing", (jpeg: Buffer) => withoutEnd(jpeg, 0.95)],
    [
      "zeros stand in place of the end",
      (jpeg: Buffer) => Buffer.concat([withoutEnd(jpeg), Buffer.alloc(512)]),
    ],
  ])("%s", async (_, cut) => {
    const whole = await picture().jpeg().toBuffer();
    expect(await safeImage(cut(whole))).toMatchObject({ width: SIZE, height: SIZE });
  });

  test("in several scans, of which the finest is cut", async () => {
    const whole = await picture().jpeg({ progressive: true }).toBuffer();
    expect(await safeImage(withoutEnd(whole))).toMatchObject({ width: SIZE });
    expect(await safeImage(cutInScan(whole, scansOf(whole)))).toMatchObject({ width: SIZE });
  });

  test("turned upright, as with its end", async () => {
    const whole = await picture()
      .extract({ left: 0, top: 0, width: 160, height: 80 })
      .withMetadata({ orientation: 6 })
      .jpeg()
      .toBuffer();
    expect(await safeImage(withoutEnd(whole))).toMatchObject({ width: 80, height: 160 });
  });

  test("the same as with it, where nothing else is missing", async () => {
    const whole = await picture().jpeg().toBuffer();
    expect(await safeImage(withoutEnd(whole))).toEqual(await safeImage(whole));
  });
});

describe("one of which much is lost is refused", () => {
  test.each([0.85, 0.5, 0.2, 0.05])("%d of it is there", async (part) => {
    const whole = await picture().jpeg().toBuffer();
    await expect(safeImage(withoutEnd(whole, part))).rejects.toMatchObject({ code: "image_undecodable" });
  });

  test.each([1, 2, 4])("in several scans, cut in scan %i", async (nth) => {
    const whole = await picture().jpeg({ progressive: true }).toBuffer();
    expect(scansOf(whole)).toBeGreaterThan(4);
    await expect(safeImage(cutInScan(whole, nth))).rejects.toMatchObject({ code: "image_undecodable" });
  });
});
