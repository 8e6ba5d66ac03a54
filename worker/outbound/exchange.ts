// One exchange with the outside: a request to one address, then to where it is redirected, each checked from scratch and
// given only what is meant for its origin. Deadlines and what failures are called belong to outbound.ts.

import { unlessAborted } from "../async/abort.ts";
import { KamadoError } from "../errors.ts";
import { type Answer, readAnswer, redirectOf } from "./answer.ts";
import { createAgent, type Resolve } from "./connect.ts";
import { type Destinations, destinationFor, type KnownDestination } from "./destinations.ts";
import { checkUrl, parseUrl } from "./refusals.ts";

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

const MAX_REDIRECTS = 3;
export const MAX_BYTES = 10 * 1024 * 1024;

export class Exchange {
  readonly #destinations: Destinations;
  readonly #agents;

  constructor(destinations: Destinations, resolve: Resolve) {
    this.#destinations = destinations;
    this.#agents = { strict: createAgent(resolve, false), home: createAgent(resolve, true) };
  }

  async follow(asked: Send, first: URL, signal: AbortSignal): Promise<Answer> {
    const redirects = asked.followRedirects && asked.method === "GET" ? MAX_REDIRECTS : 0;
    const isKnown = destinationFor(this.#destinations, first) !== undefined;
    for (let url = first, left = redirects; ; left--) {
      // What the caller sends is meant for the origin it named; another one gets a bare request.
      const bare = url.origin !== first.origin;
      // A stranger must not send us into the home network, nor anywhere with the owner's credentials.
      const known = bare && !isKnown ? undefined : destinationFor(this.#destinations, url);
      const answer = await this.#send(bare ? { ...asked, headers: {} } : asked, url, known, signal);
      const next = redirects > 0 ? redirectOf(answer) : null;
      if (!next) return answer;
      if (left === 0)
        throw new KamadoError("fetch_rejected", `${first.hostname}: more than ${MAX_REDIRECTS} redirects.`);
      url = parseUrl(next);
    }
  }

  /** One request, with what the destinations file says for exactly this address, where that counts. */
  async #send(
    asked: Send,
    url: URL,
    known: KnownDestination | undefined,
    signal: AbortSignal,
  ): Promise<Answer> {
    const allowPrivate = known?.allowPrivate ?? false;
    checkUrl(url, { known: known !== undefined, allowPrivate });
    const agent = allowPrivate ? this.#agents.home : this.#agents.strict;
    const responding = agent.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: asked.method,
      headers: headersFor(asked.headers ?? {}, known),
      body: asked.body ?? null,
      signal,
    });
    // undici itself heeds a signal only once it is connected.
    const response = await unlessAborted(responding, signal);
    return readAnswer(response, url, {
      maxBytes: asked.maxBytes ?? MAX_BYTES,
      part: asked.answer ?? "whole",
    });
  }

  async destroy(): Promise<void> {
    await Promise.all([this.#agents.strict.destroy(), this.#agents.home.destroy()]);
  }
}

function headersFor(
  given: Record<string, string>,
  known: KnownDestination | undefined,
): Record<string, string> {
  const own = Object.entries(known?.headers ?? {}).map(([name, value]) => [name, value.reveal()]);
  const lower = Object.entries(given).map(([name, value]) => [name.toLowerCase(), value]);
  return { "user-agent": "kamado", "accept-encoding": "identity", ...Object.fromEntries([...own, ...lower]) };
}
