// An answer to an outbound request: read within the bounds that the caller sets, and what its status means.
import type { Dispatcher } from "undici";
import { KamadoError } from "../errors.ts";
import { readCut, readStart, readWhole } from "../http/bounded-body.ts";
import { unpack } from "../http/content-encoding.ts";
import { parseRetryAfter } from "../http/retry-after.ts";

export type Answer = {
  status: number;
  /** Names in lower case; a header that came several times is joined with ", ". */
  headers: Record<string, string>;
  bytes: Uint8Array;
  /** Where the answer came from, after redirects. */
  url: string;
};

/** A redirect's body is not used, so only this much of it is read. */
const MAX_REDIRECT_BYTES = 16 * 1024;
/** How long to wait for the rest of an answer when only its status matters. */
const START_MS = 1_000;

/** Reads a response. Throws `input_too_large` when the whole body is wanted and longer than `maxBytes`. */
export async function readAnswer(
  { statusCode: status, headers: raw, body }: Dispatcher.ResponseData,
  { href: url }: URL,
  { maxBytes, part }: { maxBytes: number; part: "whole" | "start" | "cut" },
): Promise<Answer> {
  const headers = Object.fromEntries(
    Object.entries(raw).map(([name, value]) => [name, [value ?? ""].flat().join(", ")]),
  );
  const read = () => {
    if (redirectOf({ status, headers, url }))
      return readStart(body, Math.min(maxBytes, MAX_REDIRECT_BYTES), START_MS);
    if (part === "start") return readStart(body, maxBytes, START_MS);
    if (part === "cut") return readCut(body, maxBytes);
    const announced = headers["content-length"];
    return readWhole(body, { maxBytes, announced, tooLarge: () => tooLarge(maxBytes) });
  };
  return { status, headers, bytes: await read(), url };
}

/** Where an answer redirects to; null when it does not redirect, or not to a valid address. */
export function redirectOf({ status, headers, url }: Pick<Answer, "status" | "headers" | "url">): URL | null {
  const { location } = headers;
  if (![301, 302, 303, 307, 308].includes(status) || location === undefined) return null;
  return URL.canParse(location, url) ? new URL(location, url) : null;
}

/** We ask for no content-encoding, but an object that was stored compressed comes compressed anyway. Throws `input_too_large`, `fetch_rejected`. */
export const unpackAnswer = (bytes: Uint8Array, encoding: string | undefined, maxBytes: number) =>
  unpack(bytes, encoding, {
    maxBytes,
    tooLarge: () => tooLarge(maxBytes),
    broken: (why, cause) => new KamadoError("fetch_rejected", `The answer ${why}.`, { cause }),
  });

const tooLarge = (maxBytes: number) =>
  new KamadoError("input_too_large", `The answer is longer than ${maxBytes} bytes.`);

/** Throws unless the status is 2xx: `fetch_failed` when it may pass by itself, else `fetch_rejected`. */
export function throwForStatus({ status, headers, url }: Answer, now: number): void {
  if (status >= 200 && status < 300) return;
  const { hostname } = new URL(url);
  const retryAfterMs = parseRetryAfter(headers["retry-after"], now);
  throw new KamadoError(
    isPassing(status) ? "fetch_failed" : "fetch_rejected",
    `${hostname} answered ${status}.`,
    { detail: { host: hostname, httpStatus: status, retryAfterMs } },
  );
}

/** Whether an error status means "not now" rather than "no". */
export const isPassing = (status: number): boolean => status >= 500 || [408, 425, 429].includes(status);
