// Makes a picture from outside safe to show an engine: decoded in bounds, upright, on white, small, re-encoded without
// metadata. Native engine code aborts on what it cannot decode, so nothing reaches one that did not pass here.
import { createHash } from "node:crypto";
import type { Sharp } from "sharp";
import { Semaphore } from "../async/semaphore.ts";
import { KamadoError } from "../errors.ts";
import type { SafeImage } from "../job/handler.ts";
import { isTruncated, type PictureFormat, sniff } from "./format.ts";
import { decodeHeic } from "./heic.ts";

export type ImageLimits = { maxBytes?: number; maxPixels?: number; maxEdge?: number };
export const IMAGE_LIMITS = { maxBytes: 20_000_000, maxPixels: 50_000_000, maxEdge: 896 } as const;
type Limits = Required<ImageLimits>;

// The worker is small and lives long: nothing is loaded before the first picture, no cache of decoded pictures, one libvips thread a picture, and few pictures at
// once, because an interlaced or turned one is held whole.
let loaded: Promise<typeof import("sharp").default> | undefined;
const loadSharp = () =>
  (loaded ??= import("sharp").then(({ default: sharp }) => {
    sharp.cache(false);
    sharp.concurrency(1);
    return sharp;
  }));
const turns = new Semaphore(2);

const TIMEOUT_SECONDS = 60;
// Drawings and screen shots keep their exact pixels as long as that stays cheap to send.
const LOSSLESS_FORMATS: readonly PictureFormat[] = ["png", "gif"];
const MAX_PNG_BYTES = 512 * 1024;

/** Throws `image_undecodable`, which says what the bytes look like, and `image_too_large`. */
export async function safeImage(bytes: Uint8Array, limits: ImageLimits = {}): Promise<SafeImage> {
  const bounds: Limits = { ...IMAGE_LIMITS, ...limits };
  if (bytes.length > bounds.maxBytes)
    throw new KamadoError(
      "image_too_large",
      `The picture has ${bytes.length} bytes; the limit is ${bounds.maxBytes}.`,
    );
  const sniffed = sniff(bytes);
  if (sniffed.is === "other") throw undecodable(sniffed.looksLike);
  await loadSharp();
  return turns.take(async () => {
    try {
      return await encode(await open(bytes, sniffed.format, bounds), sniffed.format, bounds.maxEdge);
    } catch (thrown) {
      if (thrown instanceof KamadoError) throw thrown;
      throw undecodable(nameBroken(sniffed.format, bytes), thrown);
    }
  });
}

/** A pipeline whose pixels are known to be within bounds; nothing is decoded yet, HEIC excepted. */
async function open(bytes: Uint8Array, format: PictureFormat, { maxPixels }: Limits): Promise<Sharp> {
  const sharp = await loadSharp();
  const { width, height, compression } = await sharp(bytes, { limitInputPixels: false }).metadata();
  if (width * height > maxPixels) throw tooManyPixels(width, height, maxPixels);
  if (format !== "heic" || compression === "av1")
    return sharp(bytes, { limitInputPixels: maxPixels, failOn: "error", pages: 1, autoOrient: true });
  const decoded = await decodeHeic(bytes, maxPixels);
  if (decoded.is === "too_large") throw tooManyPixels(decoded.width, decoded.height, maxPixels);
  return sharp(decoded.data, { raw: { width: decoded.width, height: decoded.height, channels: 4 } });
}

async function encode(picture: Sharp, format: PictureFormat, maxEdge: number): Promise<SafeImage> {
  const small = picture
    .timeout({ seconds: TIMEOUT_SECONDS })
    .resize({ width: maxEdge, height: maxEdge, fit: "inside", withoutEnlargement: true })
    .flatten({ background: "white" })
    .toColourspace("srgb");
  if (LOSSLESS_FORMATS.includes(format)) {
    const { data, info } = await small.clone().png().toBuffer({ resolveWithObject: true });
    if (data.length <= MAX_PNG_BYTES) return describe("image/png", data, info);
  }
  const { data, info } = await small.jpeg({ quality: 90 }).toBuffer({ resolveWithObject: true });
  return describe("image/jpeg", data, info);
}

function describe(
  mime: string,
  data: Buffer,
  { width, height }: { width: number; height: number },
): SafeImage {
  const sha256 = createHash("sha256").update(data).digest("hex");
  return { dataUri: `data:${mime};base64,${data.toString("base64")}`, width, height, sha256 };
}

const tooManyPixels = (width: number, height: number, maxPixels: number) =>
  new KamadoError(
    "image_too_large",
    `The picture has ${width} x ${height} pixels; the limit is ${maxPixels / 1_000_000} million.`,
  );

function nameBroken(format: PictureFormat, bytes: Uint8Array): string {
  const name = format === "webp" ? "WebP" : format.toUpperCase();
  const how = isTruncated(format, bytes) ? "truncated" : "damaged";
  return `a ${how} ${name}`;
}

const undecodable = (looksLike: string, cause?: unknown) =>
  new KamadoError("image_undecodable", `This is no picture that can be decoded: it is ${looksLike}.`, {
    cause,
    detail: { looksLike },
  });
