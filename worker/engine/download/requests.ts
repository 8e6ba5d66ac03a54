// GET requests for a model's files. Not worker/outbound: that keeps a whole answer in memory, and guards against addresses that jobs
// choose; here the owner of the machine chose, perhaps a server at home. Redirects are followed by hand, so that the token of Hugging
// Face goes to no other server than the endpoint itself. What an answer means is left to download.ts.
import type { Readable } from "node:stream";
import { KamadoError } from "../../errors.ts";
import { Agent } from "../../http/undici.ts";
import { fetchFailure } from "../../outbound/outbound.ts";

export type Answer = {
  status: number;
  headers: Record<string, string>;
  body: Readable;
  host: string;
  /** What Hugging Face says of the file itself, on the way to the server that stores it. */
  linked: { sha256: string | undefined; bytes: number | undefined };
};

const MAX_REDIRECTS = 6;
const LIMITS = { connect: { timeout: 15_000 }, headersTimeout: 30_000, bodyTimeout: 60_000 };

export class Requests {
  readonly endpoint: string;
  readonly #token: string | undefined;
  readonly #agent = new Agent(LIMITS);

  /** `endpoint` is Hugging Face or a mirror; `token` is sent there and nowhere else. */
  constructor({ endpoint, token }: { endpoint: string; token: string | undefined }) {
    this.endpoint = endpoint;
    this.#token = token;
  }

  get hasToken(): boolean {
    return this.#token !== undefined;
  }

  /** Whoever gets the answer must read its body or destroy it. Throws `fetch_failed`, `download_refused`, the signal's reason. */
  async get(address: string, headers: Record<string, string>, signal: AbortSignal): Promise<Answer> {
    const linked: Answer["linked"] = { sha256: undefined, bytes: undefined };
    let url = new URL(address);
    for (let left = MAX_REDIRECTS; left >= 0; left--) {
      const answer = await this.#once(url, headers, signal);
      linked.sha256 ??= /^(?:W\/)?"?([0-9a-f]{64})"?$/.exec(answer.headers["x-linked-etag"] ?? "")?.[1];
      linked.bytes ??= wholeNumber(answer.headers["x-linked-size"]);
      const next = redirectOf(answer, url);
      if (next === undefined) return { ...answer, linked, host: url.host };
      answer.body.on("error", () => {}).destroy();
      if (url.protocol === "https:" && next.protocol !== "https:")
        throw refused(`${url.host} redirects from https to ${next.protocol}//${next.host}.`);
      url = next;
    }
    throw refused(`${new URL(address).host} redirects more than ${MAX_REDIRECTS} times.`);
  }

  async #once(url: URL, headers: Record<string, string>, signal: AbortSignal) {
    const isOurs = url.origin === new URL(this.endpoint).origin;
    const token = isOurs && this.#token !== undefined ? { authorization: `Bearer ${this.#token}` } : {};
    try {
      const {
        statusCode,
        headers: raw,
        body,
      } = await this.#agent.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: "GET",
        headers: { "user-agent": "kamado", "accept-encoding": "identity", ...headers, ...token },
        signal,
      });
      const pairs = Object.entries(raw).map(([name, value]) => [name, [value ?? ""].flat().join(", ")]);
      return { status: statusCode, headers: Object.fromEntries(pairs) as Record<string, string>, body };
    } catch (thrown) {
      signal.throwIfAborted();
      throw fetchFailure(thrown, url.host, false);
    }
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }
}

const refused = (message: string) => new KamadoError("download_refused", message);

function redirectOf({ status, headers }: Pick<Answer, "status" | "headers">, from: URL): URL | undefined {
  const { location } = headers;
  if (![301, 302, 303, 307, 308].includes(status) || location === undefined) return undefined;
  if (!URL.canParse(location, from.href)) return undefined;
  const url = new URL(location, from.href);
  return /^https?:$/.test(url.protocol) ? url : undefined;
}

export const wholeNumber = (text: string | undefined): number | undefined =>
  text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
