// An answer as callers see it, read in the bounds they set.
import type { Dispatcher } from "undici";
import { readStart, readWhole } from "./body.ts";

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
