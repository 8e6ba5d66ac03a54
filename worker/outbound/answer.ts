// An answer as callers see it, read in the bounds they set.

import { promisify } from "node:util";
import { brotliDecompress, unzip, zstdDecompress } from "node:zlib";
import type { Dispatcher } from "undici";
import { KamadoError } from "../errors.ts";
import { readStart, readWhole } from "../http/bounded-body.ts";

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
/** How long the rest of an answer may take where only its status matters. */
const GRACE_MS = 1_000;

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
      ? await readStart(body, redirects ? Math.min(maxBytes, REDIRECT_BODY) : maxBytes, GRACE_MS)
      : await readWhole(body, {
          maxBytes,
          announced: headers["content-length"],
          tooLarge: () => tooLarge(maxBytes),
        });
  return { status, headers, bytes, url: url.href };
}

/** Where an answer redirects to; null when it does not, or to nothing that is an address. */
export function redirectOf({ status, headers, url }: Pick<Answer, "status" | "headers" | "url">): URL | null {
  const { location } = headers;
  if (![301, 302, 303, 307, 308].includes(status) || location === undefined) return null;
  return URL.canParse(location, url) ? new URL(location, url) : null;
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
