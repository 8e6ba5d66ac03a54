// An answer as callers see it, read in the bounds they set.

import { promisify } from "node:util";
import { brotliDecompress, unzip, zstdDecompress } from "node:zlib";
import type { Dispatcher } from "undici";
import { KamadoError } from "../errors.ts";

export type Answer = {
  status: number;
  /** Names in lower case; a header that came several times is joined with ", ". */
  headers: Record<string, string>;
  bytes: Uint8Array;
  /** Where the answer came from, after redirects. */
  url: string;
};

export type Reading = { maxBytes: number; part: "whole" | "start" };

// A redirect's body is for people whose browser does not follow it.
const REDIRECT_BODY = 16 * 1024;

/** Reads a response. Throws `input_too_large` where the whole of it is asked for. */
export async function readAnswer(
  { statusCode: status, headers: raw, body }: Dispatcher.ResponseData,
  url: URL,
  { maxBytes, part }: Reading,
): Promise<Answer> {
  const headers = Object.fromEntries(
    Object.entries(raw).map(([name, value]) => [name, [value ?? ""].flat().join(", ")]),
  );
  const redirects = redirectOf({ status, headers, url: url.href }) !== null;
  const bytes =
    redirects || part === "start"
      ? await readStart(body, redirects ? Math.min(maxBytes, REDIRECT_BODY) : maxBytes)
      : await readWhole(body, headers["content-length"], maxBytes);
  return { status, headers, bytes, url: url.href };
}

/** Where an answer redirects to; null when it does not, or to nothing that is an address. */
export function redirectOf({ status, headers, url }: Pick<Answer, "status" | "headers" | "url">): URL | null {
  const { location } = headers;
  if (![301, 302, 303, 307, 308].includes(status) || location === undefined) return null;
  return URL.canParse(location, url) ? new URL(location, url) : null;
}

// Reading an answer in bounds: bytes are counted as they come, and what is compressed unasked is unpacked in the same bound.
type Body = Dispatcher.ResponseData["body"];

/** The whole body. Throws `input_too_large` once it is known to be longer than `maxBytes`. */
export async function readWhole(
  body: Body,
  announced: string | undefined,
  maxBytes: number,
): Promise<Uint8Array> {
  if (Number(announced) > maxBytes) {
    hangUp(body);
    throw tooLarge(maxBytes);
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    // Leaving the loop destroys the stream, and with it the connection.
    if (length > maxBytes) throw tooLarge(maxBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, length);
}

/** How long the rest of an answer may take once its status is known and all that matters. */
const GRACE_MS = 1_000;

/** The first `maxBytes` of a body, or what of it came in a short while. Never throws. */
export async function readStart(body: Body, maxBytes: number): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  const timer = setTimeout(() => hangUp(body), GRACE_MS);
  try {
    for await (const chunk of body as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length >= maxBytes) break;
    }
  } catch {
    // The status stands, whatever became of the rest.
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks, length).subarray(0, maxBytes);
}

function hangUp(body: Body): void {
  body.on("error", () => {});
  body.destroy();
}

const UNPACK: Record<string, (bytes: Uint8Array, options: { maxOutputLength: number }) => Promise<Buffer>> = {
  gzip: promisify(unzip),
  "x-gzip": promisify(unzip),
  deflate: promisify(unzip),
  br: promisify(brotliDecompress),
  zstd: promisify(zstdDecompress),
};

/**
 * Undoes a content-encoding. We ask for none, but objects that were stored compressed come so anyway. Throws
 * `input_too_large` past `maxBytes` and `fetch_rejected` for what cannot be unpacked.
 */
export async function unpack(
  bytes: Uint8Array,
  encoding: string | undefined,
  maxBytes: number,
): Promise<Uint8Array> {
  const name = encoding?.trim().toLowerCase() || "identity";
  if (name === "identity" || bytes.length === 0) return bytes;
  const undo = Object.hasOwn(UNPACK, name) ? UNPACK[name] : undefined;
  if (!undo)
    throw new KamadoError(
      "fetch_rejected",
      `The answer has the unknown content-encoding ${name.slice(0, 40)}.`,
    );
  try {
    return await undo(bytes, { maxOutputLength: maxBytes });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge(maxBytes);
    throw new KamadoError("fetch_rejected", `The answer is no valid ${name}.`, { cause: thrown });
  }
}

const tooLarge = (maxBytes: number) =>
  new KamadoError("input_too_large", `The answer is longer than ${maxBytes} bytes.`);
