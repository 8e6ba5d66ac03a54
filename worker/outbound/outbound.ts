// The safe way out: every request to an address that somebody else chose goes through here. It owns what may be reached,
// how long it may take, how much may come back and where a redirect may lead; what an answer means is its callers' matter.
import { request } from "undici";
import { KamadoError } from "../errors.ts";
import { type Answer, readAnswer, redirectOf } from "./answer.ts";
import { unpack } from "./body.ts";
import { createAgent, type Resolve, systemResolve } from "./connect.ts";
import { type Destinations, destinationFor, type KnownDestination } from "./destinations.ts";
import { fetchFailure, throwForStatus } from "./failures.ts";
import { checkUrl, parseUrl } from "./refusals.ts";
import { untilAborted } from "./until-aborted.ts";

export type Send = {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  url: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  /** Longer answers are `input_too_large`. [10 MiB] */
  maxBytes?: number;
  /** For all of it, redirects and the answer's last byte included. [30 s] */
  timeoutMs?: number;
  /** Follow up to three, for GET only; else a redirect is an answer like any other. [false] */
  followRedirects?: boolean;
  /** `start`: only the status counts; of the body what comes soon, up to `maxBytes`, and never an error. [whole] */
  answer?: "whole" | "start";
  signal?: AbortSignal;
};

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

const MAX_REDIRECTS = 3;
const MAX_BYTES = 10 * 1024 * 1024;
const TIMEOUT_MS = 30_000;

export function createOutbound(options: OutboundOptions = {}): Outbound {
  const { destinations = [], resolve = systemResolve, now = Date.now } = options;
  const agents = { strict: createAgent(resolve, false), home: createAgent(resolve, true) };
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
      return await follow(asked, first, signal);
    } catch (thrown) {
      asked.signal?.throwIfAborted();
      throw fetchFailure(thrown, first.hostname, deadline.aborted);
    }
  }

  async function follow(asked: Send, first: URL, signal: AbortSignal): Promise<Answer> {
    const redirects = asked.followRedirects && asked.method === "GET" ? MAX_REDIRECTS : 0;
    for (let url = first, left = redirects; ; left--) {
      // What the caller sends is meant for the origin it named; another one gets a bare request.
      const answer = await sendOnce(
        url.origin === first.origin ? asked : { ...asked, headers: {} },
        url,
        signal,
      );
      const next = redirects > 0 ? redirectOf(answer) : null;
      if (!next) return answer;
      if (left === 0)
        throw new KamadoError("fetch_rejected", `${first.hostname}: more than ${MAX_REDIRECTS} redirects.`);
      url = parseUrl(next);
    }
  }

  /** One request, checked from scratch, with what the destinations file says for exactly this address. */
  async function sendOnce(asked: Send, url: URL, signal: AbortSignal): Promise<Answer> {
    const known = destinationFor(destinations, url);
    const allowPrivate = known?.allowPrivate ?? false;
    checkUrl(url, { known: known !== undefined, allowPrivate });
    const responding = request(url, {
      dispatcher: allowPrivate ? agents.home : agents.strict,
      method: asked.method,
      headers: headersFor(asked.headers ?? {}, known),
      body: asked.body ?? null,
      signal,
    });
    // undici itself heeds a signal only once it is connected.
    const response = await untilAborted(responding, signal);
    return readAnswer(response, url, {
      maxBytes: asked.maxBytes ?? MAX_BYTES,
      part: asked.answer ?? "whole",
    });
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
    closed ??= Promise.allSettled(underway).then(() =>
      Promise.all([agents.strict.destroy(), agents.home.destroy()]),
    );
    await closed;
  }

  return { send, getBytes, getJson, close };
}

function headersFor(
  given: Record<string, string>,
  known: KnownDestination | undefined,
): Record<string, string> {
  const own = Object.entries(known?.headers ?? {}).map(([name, value]) => [name, value.reveal()]);
  const lower = Object.entries(given).map(([name, value]) => [name.toLowerCase(), value]);
  return { "user-agent": "kamado", "accept-encoding": "identity", ...Object.fromEntries([...own, ...lower]) };
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
