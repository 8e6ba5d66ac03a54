// Makes a picture from outside safe for an engine: decoded within limits, turned upright, on a white background, small, and
// re-encoded without metadata. The engines' native code aborts on a picture that it cannot decode, so every picture passes here.
import { createHash } from "node:crypto";
import type { Sharp } from "sharp";
import { Semaphore } from "../async/semaphore.ts";
import { inThread } from "../async/thread.ts";
import { KamadoError } from "../errors.ts";
import type { SafeImage } from "../job/handler.ts";
import { isTruncated, type PictureFormat, sniff } from "./format.ts";

export type ImageLimits = { maxBytes?: number; maxPixels?: number; maxEdge?: number };
export const IMAGE_LIMITS = { maxBytes: 20_000_000, maxPixels: 50_000_000, maxEdge: 896 } as const;
type Limits = Required<ImageLimits>;

// This saves memory in a process that should stay small: nothing is loaded before the first picture, libvips caches nothing and
// uses one thread for each picture.
let loaded: Promise<typeof import("sharp").default> | undefined;
const loadSharp = () =>
  (loaded ??= import("sharp").then(({ default: sharp }) => {
    sharp.cache(false);
    sharp.concurrency(1);
    return sharp;
  }));
/** An interlaced or turned picture is in memory as a whole, so only a few are decoded at the same time. */
const turns = new Semaphore(2);

const TIMEOUT_SECONDS = 60;
// Drawings and screenshots keep their exact pixels as long as the PNG stays small.
const LOSSLESS_FORMATS: readonly PictureFormat[] = ["png", "gif"];
const MAX_PNG_BYTES = 512 * 1024;

/** Throws `image_too_large`, and `image_undecodable`, which says what the bytes look like. */
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

/** The picture, known to be within the limit of pixels. Only HEIC is decoded here; sharp decodes the others when they are encoded. */
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

type DecodedHeic =
  | { is: "pixels"; width: number; height: number; data: Uint8ClampedArray }
  | { is: "too_large"; width: number; height: number };

/**
 * The RGBA pixels of a picture as an iPhone takes it, turned upright. sharp's binaries have no HEVC decoder, so libheif in
 * WebAssembly does it: in a thread of its own, because it takes seconds and WebAssembly memory never shrinks. The thread checks
 * the size that the file states before it decodes.
 */
function decodeHeic(bytes: Uint8Array, maxPixels: number): Promise<DecodedHeic> {
  // A copy: the bytes may be part of a larger buffer, which would go to the thread as a whole.
  const copy = new Uint8Array(bytes);
  return inThread(
    new URL("./heic-thread.ts", import.meta.url),
    { bytes: copy, maxPixels },
    { timeoutMs: TIMEOUT_SECONDS * 1_000, transfer: [copy.buffer] },
  );
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
  new KamadoError("image_undecodable", `This picture cannot be decoded: it is ${looksLike}.`, {
    cause,
    detail: { looksLike },
  });
