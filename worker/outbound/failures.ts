// What went wrong on the way out, as coded errors. Messages name the host and never the whole address: paths and queries
// of webhooks hold secrets.
import { KamadoError } from "../errors.ts";
import { parseRetryAfter } from "../http/retry-after.ts";
import type { Answer } from "./answer.ts";

const REASONS: Record<string, string> = {
  ENOTFOUND: "the name does not resolve",
  EAI_AGAIN: "the name does not resolve just now",
  ECONNREFUSED: "the connection was refused",
  ECONNRESET: "the connection was reset",
  EHOSTUNREACH: "there is no route to the host",
  ENETUNREACH: "there is no route to the network",
  UND_ERR_SOCKET: "the connection was closed in the middle",
  UND_ERR_CONNECT_TIMEOUT: "the connection took too long",
  UND_ERR_HEADERS_TIMEOUT: "the answer took too long",
  UND_ERR_BODY_TIMEOUT: "the answer took too long",
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: "the answer was cut short",
};

/** Whatever sending threw, as a KamadoError: our own refusals as they are, everything else as `fetch_failed`. */
export function fetchFailure(thrown: unknown, hostname: string, timedOut: boolean): KamadoError {
  const own = ownError(thrown);
  if (own) return own;
  const code = codeOf(thrown);
  const reason = timedOut ? "the answer took too long" : (REASONS[code] ?? `the request failed (${code})`);
  return new KamadoError("fetch_failed", `${hostname}: ${reason}.`, {
    cause: thrown,
    detail: { host: hostname, networkCode: code },
  });
}

/** A refusal from inside the connection comes back wrapped, depending on where the socket was. */
function ownError(thrown: unknown): KamadoError | null {
  for (let error = thrown, depth = 0; error instanceof Error && depth < 5; error = error.cause, depth++)
    if (error instanceof KamadoError) return error;
  return null;
}

function codeOf(thrown: unknown): string {
  const { code, name } = (thrown ?? {}) as { code?: unknown; name?: unknown };
  return String(code ?? name ?? "unknown");
}

/** Throws unless the answer is a 2xx: what may pass by itself is `fetch_failed`, the rest `fetch_rejected`. */
export function throwForStatus({ status, headers, url }: Answer, now: number): void {
  if (status >= 200 && status < 300) return;
  const { hostname } = new URL(url);
  const retryAfterMs = parseRetryAfter(headers["retry-after"], now);
  const detail = { host: hostname, httpStatus: status, retryAfterMs };
  throw new KamadoError(
    isPassing(status) ? "fetch_failed" : "fetch_rejected",
    `${hostname} answered ${status}.`,
    { detail },
  );
}

/** Whether an error status says "not now" rather than "no". */
export const isPassing = (status: number): boolean => status >= 500 || [408, 425, 429].includes(status);
