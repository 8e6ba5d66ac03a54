// The safe way out: every request to an address that somebody else chose goes through here. It owns what may be reached,
// how long it may take, how much may come back and where a redirect may lead; what an answer means is its callers' matter.
import { KamadoError } from "../errors.ts";
import type { Answer } from "./answer.ts";
import { unpack } from "./answer.ts";
import { type Resolve, systemResolve } from "./connect.ts";
import type { Destinations } from "./destinations.ts";
import { Exchange, MAX_BYTES, type Send } from "./exchange.ts";
import { fetchFailure, throwForStatus } from "./failures.ts";
import { parseUrl } from "./refusals.ts";

export type { Send } from "./exchange.ts";

export type Get = Pick<Send, "headers" | "maxBytes" | "timeoutMs" | "signal">;

export interface Outbound {
  /**
   * Sends a request and resolves with whatever status came back. Throws `unsupported_address`, `address_refused`,
   * `fetch_failed` (network, time), `fetch_rejected` (too many redirects), `input_too_large`; when `signal` fires, its reason.
   */
  send(request: Send): Promise<Answer>;
  /** GET with redirects followed. Throws also `fetch_rejected` for 3xx and 4xx, `fetch_failed` for 408, 425, 429 and 5xx. */
  getBytes(
    url: string,
    options?: Get,
  ): Promise<{ bytes: Uint8Array; contentType: string | null; url: string }>;
  /** The same for JSON; what is no JSON is `fetch_rejected`. */
  getJson(url: string, options?: Get): Promise<unknown>;
  /** Lets requests that are under way come to their end. May be called twice. */
  close(): Promise<void>;
}

export type OutboundOptions = { destinations?: Destinations; resolve?: Resolve; now?: () => number };

const TIMEOUT_MS = 30_000;

export function createOutbound(options: OutboundOptions = {}): Outbound {
  const { destinations = [], resolve = systemResolve, now = Date.now } = options;
  const exchange = new Exchange(destinations, resolve);
  const underway = new Set<Promise<unknown>>();
  let closed: Promise<unknown> | undefined;

  async function send(asked: Send): Promise<Answer> {
    if (closed) throw new KamadoError("fetch_failed", "The worker is stopping; nothing is sent any more.");
    const answering = sendWithin(asked);
    underway.add(answering);
    return answering.finally(() => underway.delete(answering));
  }

  async function sendWithin(asked: Send): Promise<Answer> {
    const deadline = AbortSignal.timeout(asked.timeoutMs ?? TIMEOUT_MS);
    const signal = asked.signal ? AbortSignal.any([asked.signal, deadline]) : deadline;
    const first = parseUrl(asked.url);
    try {
      return await exchange.follow(asked, first, signal);
    } catch (thrown) {
      asked.signal?.throwIfAborted();
      throw fetchFailure(thrown, first.hostname, deadline.aborted);
    }
  }

  async function getBytes(url: string, get: Get = {}) {
    const answer = await send({ ...get, method: "GET", url, followRedirects: true });
    throwForStatus(answer, now());
    const bytes = await unpack(answer.bytes, answer.headers["content-encoding"], get.maxBytes ?? MAX_BYTES);
    return { bytes, contentType: answer.headers["content-type"] ?? null, url: answer.url };
  }

  async function getJson(url: string, get: Get = {}): Promise<unknown> {
    const headers = { accept: "application/json", ...get.headers };
    return parseJson(await getBytes(url, { ...get, headers }));
  }

  async function close(): Promise<void> {
    // Destroyed rather than closed: a connection nobody waits for any more must not hold up the stop.
    closed ??= Promise.allSettled(underway).then(() => exchange.destroy());
    await closed;
  }

  return { send, getBytes, getJson, close };
}

function parseJson({ bytes, url }: { bytes: Uint8Array; url: string }): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    throw new KamadoError(
      "fetch_rejected",
      `${new URL(url).hostname} answered ${bytes.length} bytes that are no JSON.`,
    );
  }
}
