// Pictures from outside: what is taken, what is refused, and what an engine gets to see.
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { safeImage } from "../../worker/images/safe-image.ts";
import type { SafeImage } from "../../worker/job/handler.ts";
import fc from "../properties.ts";

const HEIC = readFileSync(new URL("../fixtures/red-blue.heic", import.meta.url));

/** Left half red, right half blue, 96 x 64 unless said otherwise. */
async function redBlue(width = 96, height = 64): Promise<Buffer> {
  const half = { width: width / 2, height, channels: 3, background: "#e01010" } as const;
  const left = await sharp({ create: half }).png().toBuffer();
  return sharp({ create: { ...half, width, background: "#1010e0" } })
    .composite([{ input: left, left: 0, top: 0 }])
    .png()
    .toBuffer();
}

const bytesOf = ({ dataUri }: SafeImage) => Buffer.from(dataUri.split(",")[1]!, "base64");
const pixelsOf = (bytes: Buffer) => sharp(bytes).removeAlpha().raw().toBuffer();

async function colourAt(image: SafeImage, x: number, y: number): Promise<string> {
  const { data, info } = await sharp(bytesOf(image)).raw().toBuffer({ resolveWithObject: true });
  const [r = 0, g = 0, b = 0] = data.subarray((y * info.width + x) * info.channels);
  if (Math.min(r, g, b) > 200) return "white";
  return r > 150 && b < 100 ? "red" : b > 150 && r < 100 ? "blue" : `${r},${g},${b}`;
}

async function refusal(bytes: Uint8Array, limits = {}): Promise<KamadoError> {
  const thrown = await safeImage(bytes, limits).catch((error: unknown) => error);
  if (thrown instanceof KamadoError) return thrown;
  throw new Error("it was not refused", { cause: thrown });
}

describe("a picture in any common format is accepted", () => {
  const formats = {
    JPEG: async () =>
      sharp(await redBlue())
        .jpeg({ chromaSubsampling: "4:4:4" })
        .toBuffer(),
    PNG: redBlue,
    WebP: async () =>
      sharp(await redBlue())
        .webp()
        .toBuffer(),
    GIF: async () =>
      sharp(await redBlue())
        .gif()
        .toBuffer(),
    TIFF: async () =>
      sharp(await redBlue())
        .tiff()
        .toBuffer(),
    AVIF: async () =>
      sharp(await redBlue())
        .avif({ effort: 0 })
        .toBuffer(),
    "HEIC from an iPhone": async () => HEIC,
  };
  test.for(Object.entries(formats))("%s", async ([, make]) => {
    const image = await safeImage(await make());
    expect([image.width, image.height]).toEqual([96, 64]);
    expect(await colourAt(image, 20, 32)).toBe("red");
    expect(await colourAt(image, 76, 32)).toBe("blue");
  });

  test("a view of a larger buffer is read as that view only", async () => {
    const larger = Buffer.concat([Buffer.alloc(64, 7), HEIC, Buffer.alloc(64, 7)]);
    expect((await safeImage(larger.subarray(64, 64 + HEIC.length))).width).toBe(96);
  });

  test("of an animated GIF, the first frame is used", async () => {
    const frames = [
      { create: { width: 8, height: 8, channels: 3, background: "#e01010" } },
      { create: { width: 8, height: 8, channels: 3, background: "#1010e0" } },
    ] as const;
    const moving = await sharp(await Promise.all(frames.map((one) => sharp(one).png().toBuffer())), {
      join: { animated: true },
    })
      .gif()
      .toBuffer();
    const image = await safeImage(moving);
    expect([image.height, await colourAt(image, 4, 4)]).toEqual([8, "red"]);
  });
});

describe("what the engine sees", () => {
  test("a small PNG keeps every pixel", async () => {
    const noise = Buffer.from(Array.from({ length: 64 * 64 * 3 }, (_, index) => (index * 7919) % 256));
    const png = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
      .png()
      .toBuffer();
    const image = await safeImage(png);
    expect(image.dataUri).toMatch(/^data:image\/png;base64,/);
    expect((await pixelsOf(bytesOf(image))).equals(noise)).toBe(true);
  });

  test("a photo on its side is turned upright", async () => {
    const sideways = await sharp(await redBlue())
      .jpeg()
      .withMetadata({ orientation: 6 })
      .toBuffer();
    const image = await safeImage(sideways);
    expect([image.width, image.height]).toEqual([64, 96]);
    expect([await colourAt(image, 32, 20), await colourAt(image, 32, 76)]).toEqual(["red", "blue"]);
  });

  test("what is transparent becomes white", async () => {
    const clear = { r: 0, g: 0, b: 0, alpha: 0 };
    const png = await sharp({ create: { width: 8, height: 8, channels: 4, background: clear } })
      .png()
      .toBuffer();
    expect(await colourAt(await safeImage(png), 4, 4)).toBe("white");
  });

  test("a large picture is shrunk to the longest edge, a small one is never enlarged", async () => {
    const large = await safeImage(await redBlue(2000, 1000));
    expect([large.width, large.height]).toEqual([896, 448]);
    const narrow = await safeImage(await redBlue(2000, 1000), { maxEdge: 100 });
    expect([narrow.width, narrow.height]).toEqual([100, 50]);
    const small = await safeImage(await redBlue(10, 10));
    expect([small.width, small.height]).toEqual([10, 10]);
  });

  test("where and when a photo was taken is dropped", async () => {
    const told = await sharp(await redBlue())
      .jpeg()
      .withExif({ IFD0: { Artist: "Somebody" }, IFD3: { GPSLatitude: "35/1 0/1 0/1" } })
      .toBuffer();
    expect(told.includes("Somebody")).toBe(true);
    const seen = bytesOf(await safeImage(told));
    expect((await sharp(seen).metadata()).exif).toBeUndefined();
    expect(seen.includes("Somebody")).toBe(false);
  });

  test("the same picture has the same hash", async () => {
    const [one, other] = await Promise.all([safeImage(await redBlue()), safeImage(await redBlue())]);
    expect(one.sha256).toBe(other.sha256);
    expect(one.sha256).toMatch(/^[0-9a-f]{64}$/);
  });

  test("grey, 16-bit and CMYK pictures come out as plain sRGB", async () => {
    const grey = await sharp(await redBlue())
      .greyscale()
      .png()
      .toBuffer();
    const deep = await sharp(await redBlue())
      .toColourspace("rgb16")
      .png()
      .toBuffer();
    const cmyk = await sharp(await redBlue())
      .toColourspace("cmyk")
      .jpeg()
      .toBuffer();
    for (const source of [grey, deep, cmyk]) {
      const { depth, channels } = await sharp(bytesOf(await safeImage(source))).metadata();
      expect(depth).toBe("uchar");
      expect([1, 3]).toContain(channels);
    }
  });
});

describe("a file that is not a picture is refused, with what it looks like", () => {
  const svg = `<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>`;
  test.for([
    ["", "empty"],
    ["hello there", "a text file"],
    ["%PDF-1.7\n1 0 obj", "a PDF"],
    [svg, "an SVG"],
    ["<!doctype html><p>", "a web page"],
    ["PK\x03\x04....", "a ZIP archive"],
    ["\0\0\0\x14ftypisom\0\0\0\0mp42", "a video"],
    ["\0\x01\x02\x03", "unknown binary data"],
    ["\0\0\x01\0\x01\0\x10\x10\0\0\x01\0", "unknown binary data"],
    ["\x1f\x8b\x08\0 an svg", "unknown binary data"],
  ])("%j is %s", async ([bytes, looksLike]) => {
    const error = await refusal(Buffer.from(bytes!, "latin1"));
    expect([error.code, error.detail?.looksLike]).toEqual(["image_undecodable", looksLike]);
    expect(error.message).toContain(looksLike);
  });

  test.for(["png", "jpeg", "gif", "webp"] as const)("a truncated %s", async (format) => {
    const noise = Buffer.from(Array.from({ length: 128 * 128 * 3 }, (_, index) => (index * 7919) % 251));
    const whole = await sharp(noise, { raw: { width: 128, height: 128, channels: 3 } })
      .toFormat(format)
      .toBuffer();
    for (const part of [0.3, 0.6, 0.9]) {
      const error = await refusal(whole.subarray(0, Math.floor(whole.length * part)));
      expect([error.code, error.message]).toEqual([
        "image_undecodable",
        expect.stringMatching(/a (truncated|damaged) /),
      ]);
    }
  });

  test.for([20, 60, 300, 700])("a HEIC cut after %i bytes", async (length) => {
    expect((await refusal(HEIC.subarray(0, length))).code).toBe("image_undecodable");
  });

  test("no bytes crash it or pass as a picture", async () => {
    const heads = ["\x89PNG\r\n\x1a\n", "\xff\xd8\xff\xe0", "GIF89a", "RIFF\0\0\0\0WEBP", "II*\0", ""];
    const some = fc
      .tuple(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 200 }))
      .map(([head, rest]) => Buffer.concat([Buffer.from(head, "latin1"), rest]));
    await fc.assert(
      fc.asyncProperty(some, async (bytes) => {
        expect((await refusal(bytes)).code).toMatch(/^image_/);
      }),
      { numRuns: 60 },
    );
  });
});

describe("a picture that would fill the memory is refused before it is decoded", () => {
  test("by its bytes", async () => {
    const error = await refusal(await redBlue(), { maxBytes: 100 });
    expect([error.code, error.message]).toEqual(["image_too_large", expect.stringContaining("100")]);
  });

  test("by the pixels its header states, however few bytes it has", async () => {
    // A header of 60000 x 60000 and hardly any data: decoding it would take 10 GB.
    const header = await sharp({ create: { width: 1, height: 1, channels: 3, background: "red" } })
      .png()
      .toBuffer();
    const bomb = Buffer.from(header);
    bomb.writeUInt32BE(60_000, 16);
    bomb.writeUInt32BE(60_000, 20);
    bomb.writeUInt32BE(crc32(bomb.subarray(12, 29)), 29);
    const error = await refusal(bomb);
    expect([error.code, error.message]).toEqual([
      "image_too_large",
      expect.stringContaining("60000 x 60000 pixels"),
    ]);
  });

  test("a HEIC too", async () => {
    expect((await refusal(HEIC, { maxPixels: 1000 })).code).toBe("image_too_large");
  });
});
