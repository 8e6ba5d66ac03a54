// Makes a picture from outside safe for an engine: decoded within limits, turned upright, on a white background, small, and
// re-encoded without metadata. The engines' native code aborts on a picture that it cannot decode, so every picture passes here.
// It is decoded in another process (decoders.ts); this file owns the limits and what a sender is told.
import { KamadoError } from "../errors.ts";
import type { SafeImage } from "../job/handler.ts";
import { type DecodeLimits, Decoders, type NotDecoded, type Picture } from "./decoders.ts";
import { nameBroken, sniff } from "./format.ts";

export type ImageLimits = Partial<DecodeLimits & { maxBytes: number }>;
/** Enough for a phone's picture of 48 megapixels, a HEIC, on a small machine that is busy. */
export const IMAGE_LIMITS = {
  maxBytes: 20_000_000,
  maxPixels: 50_000_000,
  maxEdge: 896,
  maxMemoryBytes: 1_000_000_000,
  cpuSeconds: 20,
  seconds: 60,
} as const;

const decoders = new Decoders();

/** Throws `image_too_large`, `image_undecodable`, which says what the bytes look like, and the signal's reason. */
export async function safeImage(
  bytes: Uint8Array,
  limits: ImageLimits = {},
  signal?: AbortSignal,
): Promise<SafeImage> {
  const bounds = { ...IMAGE_LIMITS, ...limits };
  if (bytes.length > bounds.maxBytes)
    throw tooLarge(`The picture has ${bytes.length} bytes; the limit is ${bounds.maxBytes}.`);
  const sniffed = sniff(bytes);
  if (sniffed.is === "other") throw undecodable(sniffed.looksLike);
  const picture = { bytes, format: sniffed.format, limits: bounds };
  const ending = await decoders.decode(picture, signal);
  if (ending.is !== "decoded") throw notDecoded(ending, picture);
  const { decoded } = ending;
  if ("image" in decoded) return decoded.image;
  throw "tooLarge" in decoded ? tooLarge(decoded.tooLarge) : undecodable(decoded.looksLike, decoded.cause);
}

function notDecoded({ is, how }: NotDecoded, { bytes, format, limits }: Picture): Error {
  const { cpuSeconds, seconds, maxMemoryBytes } = limits;
  switch (is) {
    case "too_slow":
      return tooLarge(`The picture takes longer to decode than ${seconds} s, the limit.`);
    case "too_much_cpu":
      return tooLarge(`The picture takes more than ${cpuSeconds} s of the CPU to decode, the limit.`);
    case "too_much_memory":
      return tooLarge(`The picture takes more than ${maxMemoryBytes / 1_000_000} MB to decode, the limit.`);
    case "crashed":
      return undecodable(nameBroken(format, bytes), how);
    case "unbegun":
      // The picture is not why, so the job may be tried again.
      return new Error(`The picture decoder cannot be started: ${how}.`);
  }
}

const tooLarge = (message: string) => new KamadoError("image_too_large", message);

const undecodable = (looksLike: string, cause?: string) =>
  new KamadoError("image_undecodable", `This picture cannot be decoded: it is ${looksLike}.`, {
    cause,
    detail: { looksLike },
  });
