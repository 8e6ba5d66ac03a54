// The web search of handlers, over one service that the owner has set up. Owns when it is asked: not faster than it allows, never for
// longer than a while, again after what may pass; and which errors a job gets. A 429 costs waiting, and not the run. What each service
// is asked and says is left to its adapter; what of its results counts, to hits.ts.
import Bottleneck from "bottleneck";
import { unlessAborted } from "../async/abort.ts";
import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import type { Secret } from "../config/secret.ts";
import { type ErrorCode, KamadoError } from "../errors.ts";
import { parseRetryAfter } from "../http/retry-after.ts";
import { decodeText } from "../http/text-encoding.ts";
import type { SearchOptions as JobSearchOptions, Search, SearchHit } from "../job/handler.ts";
import { parseJson } from "../job/json.ts";
import { excessOf } from "../job/structure.ts";
import { isPassing, redirectOf, unpackAnswer } from "../outbound/answer.ts";
import { type Destinations, destinationFor, entryFor } from "../outbound/destinations.ts";
import { createOutbound, type Outbound } from "../outbound/outbound.ts";
import { brave } from "./brave.ts";
import { cleanHits, type RawHit } from "./hits.ts";
import {
  type Asked,
  fieldsOf,
  type Look,
  type Provider,
  type Refusal,
  type Said,
  type Sent,
} from "./provider.ts";
import { searxng } from "./searxng.ts";
import { serpapi, usedUp } from "./serpapi.ts";
import { tavily } from "./tavily.ts";

const PROVIDERS = { searxng, brave, tavily, serpapi };

export type SearchSettings = {
  provider: Provider["name"];
  /** Of SearXNG; of the others where it is not their own. */
  url: string | undefined;
  key: Secret | undefined;
  /** What the owner allows; undefined: what the service does. */
  perMinute: number | undefined;
};

export type OpenSearch = Search & {
  /** Whether address and key work; costs no search. Throws `search_failed`. */
  look(): Promise<Look>;
  close(): Promise<void>;
};

export type SearchOptions = {
  destinations: Destinations;
  clock: Pick<Clock, "now" | "wall" | "sleep">;
  /** For one exchange. [20 s] */
  timeoutMs?: number;
  /** So long a search waits in all; then its job comes back later, and holds no slot meanwhile. [2 minutes] */
  maxWaitMs?: number;
};

const COUNT = 10;
/** More would cost a second search at most services. */
const MOST = 20;
const MAX_QUERY = 1_000;
const TIMEOUT_MS = 20_000;
const MAX_BYTES = 5 * 1024 * 1024;
/** What may pass is asked so many times. */
const TRIES = 3;
const MAX_WAIT_MS = 120_000;
const FAILED_BACKOFF = { baseMs: 2_000, maxMs: 10_000 };
/** After a 429 that says nothing. */
const BUSY_BACKOFF = { baseMs: 10_000, maxMs: 60_000 };
const HOUR_MS = 3_600_000;
/** Whoever asks for more is asked again all the same, because its quota may be raised meanwhile. */
const LONGEST_PAUSE_MS = HOUR_MS;

export function openSearch(settings: SearchSettings, options: SearchOptions): OpenSearch {
  return new ProviderSearch(settings, options);
}

type Waiting = { signal: AbortSignal | undefined; onWait: JobSearchOptions["onWait"] };

class ProviderSearch implements OpenSearch {
  readonly provider: string;
  readonly #at: { base: string; key: string };
  readonly #service: Provider;
  readonly #clock: SearchOptions["clock"];
  readonly #timeoutMs: number;
  readonly #maxWaitMs: number;
  readonly #outbound: Outbound;
  readonly #limiter: Bottleneck;
  readonly #ownerGapMs: number | undefined;
  #gapMs: number;
  #pausedUntil = 0;
  #account: Promise<Refusal | null> | undefined;

  constructor(
    { provider, url, key, perMinute }: SearchSettings,
    { destinations, clock, timeoutMs, maxWaitMs }: SearchOptions,
  ) {
    this.#service = PROVIDERS[provider];
    this.provider = provider;
    this.#at = { base: url ?? this.#service.url ?? "", key: key?.reveal() ?? "" };
    this.#clock = clock;
    this.#timeoutMs = timeoutMs ?? TIMEOUT_MS;
    this.#maxWaitMs = maxWaitMs ?? MAX_WAIT_MS;
    this.#outbound = createOutbound({ destinations: trusted(url, destinations) });
    this.#ownerGapMs = perMinute === undefined ? undefined : Math.ceil(60_000 / perMinute);
    this.#gapMs = this.#ownerGapMs ?? this.#service.gapMs;
    this.#limiter = new Bottleneck({ maxConcurrent: this.#service.atOnce, minTime: this.#gapMs });
  }

  async web(query: string, options: Parameters<Search["web"]>[1] = {}): Promise<SearchHit[]> {
    const { signal, onWait } = options;
    signal?.throwIfAborted();
    const count = Math.max(1, Math.min(MOST, Math.floor(options.count ?? COUNT)));
    const words = query
      .toWellFormed()
      .replaceAll(/[\s\p{Cc}]+/gu, " ")
      .trim()
      .slice(0, MAX_QUERY);
    if (words === "") throw this.#error("search_rejected", "the query is empty");
    const asked = { query: words, count, language: languageIn(options.language) };
    const raw: RawHit[] = [];
    let hits: SearchHit[] = [];
    for (let page = 0; page < this.#service.pages; page += 1) {
      const more = await this.#page({ ...asked, page }, hits, { signal, onWait });
      raw.push(...more);
      const before = hits.length;
      hits = cleanHits(raw, this.#clock.wall());
      if (hits.length >= count || hits.length === before) break;
    }
    return hits.slice(0, count);
  }

  async look(): Promise<Look> {
    const { look } = this.#service;
    const said = await this.#exchange(look.request(this.#at));
    if ("is" in said) return { is: "bad", refusal: said };
    const read = look.read(said);
    const rule = read.is === "unclear" ? generalRefusal(said, this.#clock.wall()) : null;
    const is = rule !== null && rule.is !== "wait" ? ({ is: "bad", refusal: rule } as const) : read;
    return is.is === "bad" ? { ...is, refusal: this.#masked(is.refusal) } : is;
  }

  async close(): Promise<void> {
    await this.#outbound.close();
    await this.#limiter.disconnect();
  }

  /** A further page that cannot be had costs nothing of what there is. */
  async #page(asked: Asked, hits: readonly SearchHit[], how: Waiting) {
    const { signal } = how;
    try {
      return await this.#ask(this.#service.request(asked, this.#at), how);
    } catch (thrown) {
      signal?.throwIfAborted();
      if (hits.length > 0 && thrown instanceof KamadoError) return [];
      throw thrown;
    }
  }

  /** Asks until there is an answer, within a bounded time. */
  async #ask(sent: Sent, { signal, onWait }: Waiting): Promise<readonly RawHit[]> {
    const until = this.#clock.now() + this.#maxWaitMs;
    for (let tries = 1; ; tries += 1) {
      await this.#untilAllowed(until, signal);
      const answer = await this.#inTurn(async () => this.#read(await this.#exchange(sent, signal)), signal);
      if (!("is" in answer)) return answer.hits;
      if (answer.is === "rejected") throw this.#error("search_rejected", answer.why, answer);
      if (answer.is === "failed" && tries >= TRIES) throw this.#error("search_failed", answer.why);
      const isBusy = answer.is === "wait";
      if (isBusy) await this.#checkAccount(signal);
      const backoff = backoffMs(tries, isBusy ? BUSY_BACKOFF : FAILED_BACKOFF);
      const ms = Math.min(LONGEST_PAUSE_MS, isBusy ? (answer.ms ?? backoff) : backoff);
      // Who asks too often is asked by nobody meanwhile; what failed may be this query's trouble.
      if (isBusy) {
        this.#pausedUntil = Math.max(this.#pausedUntil, this.#clock.now() + ms);
        onWait?.(ms);
      } else await this.#clock.sleep(ms, signal);
      signal?.throwIfAborted();
    }
  }

  async #untilAllowed(until: number, signal: AbortSignal | undefined): Promise<void> {
    await this.#firstAccount(signal);
    for (;;) {
      const now = this.#clock.now();
      const left = this.#pausedUntil - now;
      if (left <= 0) return;
      if (now + left > until)
        throw this.#error("search_failed", `it asks to wait ${Math.ceil(left / 1_000)} s`, {
          retryAfterMs: left,
        });
      await this.#clock.sleep(left, signal);
      signal?.throwIfAborted();
    }
  }

  /** When the service may have another request, and not so many at once. */
  async #inTurn<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const begun = Promise.withResolvers<void>();
    let isGone = false;
    const done = this.#limiter.schedule(async (): Promise<T | undefined> => {
      begun.resolve();
      return isGone ? undefined : work();
    });
    done.catch(() => {});
    const late = AbortSignal.timeout(this.#maxWaitMs);
    try {
      await unlessAborted(begun.promise, signal ? AbortSignal.any([signal, late]) : late);
    } catch {
      isGone = true;
      signal?.throwIfAborted();
      throw this.#error("search_failed", `its quota allows no further search just now`, {
        retryAfterMs: this.#maxWaitMs,
      });
    }
    return (await done) as T;
  }

  /** An answer, or why there is none. Throws the signal's reason. */
  async #exchange(sent: Sent, signal?: AbortSignal): Promise<Said | Refusal> {
    try {
      const answer = await this.#outbound.send({
        ...sent,
        maxBytes: MAX_BYTES,
        timeoutMs: this.#timeoutMs,
        ...(signal && { signal }),
      });
      const { status, headers } = answer;
      const redirect = redirectOf(answer);
      if (redirect)
        return {
          is: "rejected",
          why: `it redirects to ${redirect.origin}${redirect.pathname}`,
          hint: "Set KAMADO_SEARCH_URL to the address to which it redirects, or turn that off.",
        };
      const bytes = await unpackAnswer(answer.bytes, headers["content-encoding"], MAX_BYTES);
      const text = decodeText(bytes, headers["content-type"]) ?? "";
      return { status, headers, text, json: jsonIn(text) };
    } catch (thrown) {
      signal?.throwIfAborted();
      if (!(thrown instanceof KamadoError)) throw thrown;
      const { code, message, hint } = thrown;
      const why = message.replace(/\.$/, "");
      return code === "fetch_failed" ? { is: "failed", why } : { is: "rejected", why, hint };
    }
  }

  #read(said: Said | Refusal): { hits: readonly RawHit[] } | Refusal {
    if ("is" in said) return said;
    const { gapFrom, refusal, hits } = this.#service;
    this.#setGap(gapFrom?.(said.headers));
    const own = refusal(said);
    // How long, it says in the same way as others.
    if (own)
      return own.is === "wait" ? { ...own, ms: retryAfterOf(said, this.#clock.wall()) ?? own.ms } : own;
    const found = said.status === 200 ? hits(said.json) : null;
    return found ? { hits: found } : (generalRefusal(said, this.#clock.wall()) ?? foreign(said));
  }

  #setGap(gapMs: number | undefined): void {
    if (gapMs === undefined || this.#ownerGapMs !== undefined || gapMs === this.#gapMs) return;
    this.#gapMs = gapMs;
    this.#limiter.updateSettings({ minTime: gapMs });
  }

  /** Before the first search, because nobody knows how many of this hour's searches are done already. */
  async #firstAccount(signal: AbortSignal | undefined): Promise<void> {
    if (this.#service.account === undefined || this.#account !== undefined) return this.#throwIfUsedUp();
    await this.#checkAccount(signal);
  }

  async #throwIfUsedUp(): Promise<void> {
    const refusal = await this.#account;
    if (refusal?.is !== "rejected") return;
    // It may have been renewed meanwhile: the next search asks again.
    this.#account = undefined;
    throw this.#error("search_rejected", refusal.why, refusal);
  }

  /** Costs no search. What cannot be learned changes nothing. */
  async #checkAccount(signal: AbortSignal | undefined): Promise<void> {
    if (this.#service.account === undefined) return;
    this.#account = this.#readAccount(this.#service.account);
    await (signal ? unlessAborted(this.#account, signal) : this.#account);
    await this.#throwIfUsedUp();
  }

  async #readAccount({ request, read }: NonNullable<Provider["account"]>): Promise<Refusal | null> {
    const said = await this.#exchange(request(this.#at));
    if ("is" in said || said.status !== 200) return null;
    const { hourly, usedThisHour = 0, left, renews } = read(said.json);
    if (left !== undefined && left <= 0) return usedUp(renews);
    if (hourly !== undefined && hourly > 0)
      this.#limiter.updateSettings({
        reservoir: Math.max(0, hourly - usedThisHour),
        reservoirRefreshAmount: hourly,
        reservoirRefreshInterval: HOUR_MS,
      });
    return null;
  }

  /** Without a cause: what the network says could hold the address, and with it the key. */
  #error(
    code: Extract<ErrorCode, `search_${string}`>,
    why: string,
    { hint, retryAfterMs }: { hint?: string; retryAfterMs?: number } = {},
  ): KamadoError {
    return new KamadoError(code, `${this.#name}: ${this.#mask(why)}.`, {
      ...(hint !== undefined && { hint }),
      ...(retryAfterMs !== undefined && { detail: { retryAfterMs } }),
    });
  }

  get #name(): string {
    const { title, url } = this.#service;
    return this.#at.base === url || !URL.canParse(this.#at.base)
      ? title
      : `${title} at ${new URL(this.#at.base).host}`;
  }

  #masked = (refusal: Refusal): Refusal =>
    "why" in refusal ? { ...refusal, why: `${this.#name}: ${this.#mask(refusal.why)}` } : refusal;

  /** Some services repeat the key that they refuse. */
  #mask(text: string): string {
    const { key } = this.#at;
    if (key.length < SHORTEST_KEY) return text;
    return [key, encodeURIComponent(key)].reduce((rest, form) => rest.replaceAll(form, "[secret]"), text);
  }
}

/** A shorter one may be any word. */
const SHORTEST_KEY = 4;

/**
 * The owner's own address is trusted for exactly its origin, with what the destinations file says of it; a service's public one gets
 * no more than any other.
 */
function trusted(url: string | undefined, destinations: Destinations): Destinations {
  if (url === undefined || !URL.canParse(url)) return [];
  const { origin } = new URL(url);
  const known = destinationFor(destinations, url);
  const own = entryFor(origin, { allowPrivate: true });
  return [{ ...own, ...known, match: own.match, allowPrivate: true }];
}

/** `ja-JP` and `ja_JP` as `ja-jp`; undefined for what is no language. */
function languageIn(tag = ""): string | undefined {
  const language = tag.trim().toLowerCase().replaceAll("_", "-");
  return /^[a-z]{2,3}(-[a-z0-9]{2,8})*$/.test(language) ? language : undefined;
}

function jsonIn(text: string): unknown {
  try {
    return excessOf(text) === null ? parseJson(text) : undefined;
  } catch {
    return undefined;
  }
}

const retryAfterOf = ({ headers }: Said, wall: number) => parseRetryAfter(headers["retry-after"], wall);

/** What an error status means at every service. Null for one that is none. */
function generalRefusal(said: Said, wall: number): Refusal | null {
  const { status } = said;
  if (status < 300) return null;
  const ms = retryAfterOf(said, wall);
  if (status === 429 || (status === 503 && ms !== undefined)) return { is: "wait", ms };
  const why = `it answers ${status}${wordsOf(said)}`;
  return isPassing(status) ? { is: "failed", why } : { is: "rejected", why };
}

/** 2xx with something that is no result of a search. */
function foreign({ status, text, json }: Said): Refusal {
  if (json === undefined && !/^\s*</.test(text))
    return { is: "failed", why: `it answers ${status} with ${text.length} characters that are no JSON` };
  return {
    is: "rejected",
    why: `what answers there is another program: ${json === undefined ? "a page" : "JSON without results"} in place of the results of a search`,
    hint: "Correct KAMADO_SEARCH_URL; a page of a network that asks for a sign-in has this effect too.",
  };
}

/** Of what a service says. */
const MAX_WORDS = 200;

/** Each has another place for it. */
function wordsOf({ json, text }: Said): string {
  const { error, detail, message } = fieldsOf(json);
  const places = [
    error,
    detail,
    message,
    fieldsOf(error).detail,
    fieldsOf(error).message,
    fieldsOf(detail).error,
  ];
  const plain = json === undefined && !/^\s*</.test(text) ? text : "";
  const words = [...places, plain].find((one): one is string => typeof one === "string" && one.trim() !== "");
  return words === undefined ? "" : `: ${words.trim().slice(0, MAX_WORDS).replace(/\.$/, "")}`;
}
