// A process that decodes pictures, one at a time, for the process that started it (decoders.ts). All native code that reads a
// picture from outside runs here. It ends itself when a picture takes more memory than it may, and when its parent is gone;
// when one takes too much time of the CPU, it says so. Native code runs on threads, so it cannot keep this event loop from that.
import { createHash } from "node:crypto";
import sharp, { type Sharp } from "sharp";
import { inThread } from "../async/thread.ts";
import { KamadoError } from "../errors.ts";
import type { SafeImage } from "../job/handler.ts";
import { tooLargeByContainer, tooLargeByHeader } from "./bounds.ts";
import type { Decoded, Picture, Report } from "./decoders.ts";
import { nameBroken, type PictureFormat } from "./format.ts";
import type { DecodedHeic } from "./heic-thread.ts";
import { completedJpeg } from "./jpeg-end.ts";

const WATCH_EVERY_MS = 5;
// Drawings and screenshots keep their exact pixels as long as the PNG stays small.
const LOSSLESS_FORMATS: readonly PictureFormat[] = ["png", "gif"];
const MAX_PNG_BYTES = 512 * 1024;
const MAX_CAUSE = 500;

const endNow = () => process.kill(process.pid, "SIGKILL");
process.on("disconnect", endNow);
// Ctrl-C in a terminal and the stop of a service may reach every process. The parent may still need this one, and ends it.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {});

// libvips caches nothing and uses one thread for a picture. It looks for the format by itself and knows many more than
// format.ts: those are blocked.
sharp.cache(false);
sharp.concurrency(1);
const LOADERS = ["Jpeg", "Png", "Webp", "Nsgif", "Tiff", "Heif"];
sharp.block({ operation: ["VipsForeignLoad"] });
sharp.unblock({ operation: LOADERS.map((name) => `VipsForeignLoad${name}Buffer`) });

process.on("message", async (picture: Picture) => {
  send({ is: "begun" });
  const { maxMemoryBytes, cpuSeconds } = picture.limits;
  const begun = process.cpuUsage();
  const watch = setInterval(() => {
    if (process.memoryUsage.rss() > maxMemoryBytes) endNow();
    const { user, system } = process.cpuUsage(begun);
    if (user + system > cpuSeconds * 1_000_000) send({ is: "too_much_cpu" });
  }, WATCH_EVERY_MS);
  const decoded = await decode(picture);
  clearInterval(watch);
  send({ is: "decoded", decoded, memoryBytes: process.memoryUsage.rss() });
});

function send(report: Report): void {
  process.send!(report, () => {});
}

async function decode(picture: Picture): Promise<Decoded> {
  try {
    return { image: await encode(await open(picture), picture) };
  } catch (thrown) {
    if (thrown instanceof KamadoError) return { tooLarge: thrown.message };
    const image = await withoutEnd(picture).catch(() => undefined);
    if (image) return { image };
    return {
      looksLike: nameBroken(picture.format, picture.bytes),
      cause: String(thrown).slice(0, MAX_CAUSE),
    };
  }
}

/** A JPEG of which only the end is missing. Its size was checked when it was opened the first time. */
async function withoutEnd(picture: Picture): Promise<SafeImage | undefined> {
  const { bytes, format, limits } = picture;
  const completed = format === "jpeg" ? await completedJpeg(bytes, limits.maxPixels) : undefined;
  if (completed === undefined) return undefined;
  const { failOn } = completed;
  const options = { limitInputPixels: limits.maxPixels, failOn, pages: 1, autoOrient: true };
  return encode(sharp(completed.bytes, options), picture);
}

/** The picture, known to be within the limits. Only HEIC is decoded here; sharp decodes the others when they are encoded. */
async function open({ bytes, format, limits: { maxPixels, seconds } }: Picture): Promise<Sharp> {
  refuse(tooLargeByContainer(format, bytes));
  const { compression, ...header } = await sharp(bytes, { limitInputPixels: false }).metadata();
  refuse(tooLargeByHeader(header, maxPixels));
  if (format !== "heic" || compression === "av1")
    return sharp(bytes, { limitInputPixels: maxPixels, failOn: "error", pages: 1, autoOrient: true });
  const decoded = await decodeHeic(bytes, maxPixels, seconds);
  if (decoded.is === "too_large") throw new KamadoError("image_too_large", decoded.message);
  return sharp(decoded.data, { raw: { width: decoded.width, height: decoded.height, channels: 4 } });
}

function refuse(tooLarge: string | undefined): void {
  if (tooLarge !== undefined) throw new KamadoError("image_too_large", tooLarge);
}

/**
 * The RGBA pixels of a picture as an iPhone takes it, turned upright. sharp's binaries have no HEVC decoder, so libheif in
 * WebAssembly does it: in a thread of its own, because it takes seconds and WebAssembly memory never shrinks. The thread checks
 * the size that the file states before it decodes.
 */
function decodeHeic(bytes: Uint8Array, maxPixels: number, seconds: number): Promise<DecodedHeic> {
  // A copy: the bytes may be part of a larger buffer, which would go to the thread as a whole.
  const copy = new Uint8Array(bytes);
  return inThread(
    new URL("./heic-thread.ts", import.meta.url),
    { bytes: copy, maxPixels },
    { timeoutMs: seconds * 1_000, transfer: [copy.buffer] },
  );
}

async function encode(picture: Sharp, { format, limits: { maxEdge } }: Picture): Promise<SafeImage> {
  const small = picture
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
