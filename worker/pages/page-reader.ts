// Reads pages by their address, as a program may: as robots.txt allows, at the site's pace, under its own name. Owns redirects, the pages
// that send their reader elsewhere, and what an answer means. Which addresses may be reached is left to outbound/, robots.txt to
// robots.ts, the pace to host-pace.ts, and what is read out of the bytes to `document`.
import { unlessAborted } from "../async/abort.ts";
import { type Clock, systemClock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import { parseRetryAfter } from "../http/retry-after.ts";
import type { Page } from "../job/handler.ts";
import { checkUrl, parseUrl } from "../outbound/addresses.ts";
import { type Answer, redirectOf, throwForStatus, unpackAnswer } from "../outbound/answer.ts";
import { type Destinations, destinationFor } from "../outbound/destinations.ts";
import type { Outbound } from "../outbound/outbound.ts";
import type { Documents } from "./article.ts";
import { HostPace } from "./host-pace.ts";
import { refreshIn, refreshTarget } from "./refresh.ts";
import { MAX_ROBOTS_BYTES, NO_RULES, Robots } from "./robots.ts";

export type PageReaderOptions = {
  outbound: Pick<Outbound, "send">;
  /** The same as `outbound` has. */
  destinations?: Destinations;
  /** What can be read of the bytes. */
  document: Documents["document"];
  /** The name under which we ask. The part before the `/` is the one that robots.txt may name, besides `Kamado`. */
  userAgent?: string | undefined;
  clock?: Clock;
  /** Between two requests to a host. [1 s] */
  gapMs?: number;
  /** For one request. [30 s] */
  timeoutMs?: number;
  maxBytes?: number;
};

export type ReadOptions = {
  signal?: AbortSignal | undefined;
  /** How long whoever asks can wait. A host that wants a longer pause is an error. [no limit] */
  timeLeftMs?: (() => number) | undefined;
  /** Who named the address: as with a redirect, the owner's word about a host counts only where it counts for this one too. [the address] */
  ledBy?: string | undefined;
  /** Sends the requests for the page in place of the reader's own. */
  outbound?: Pick<Outbound, "send"> | undefined;
};

export type PageReader = {
  /** As `Pages.read`. */
  read(url: string, options?: ReadOptions): Promise<Page>;
  /** The last answer, after redirects and unpacked, whatever its status. Those who ask at the same time get the same one. */
  fetch(url: string, options?: ReadOptions): Promise<Answer>;
  /** The page in an answer. Throws for a status that is an error, as `Outbound.getBytes` does. */
  pageOf(answer: Answer): Promise<Page>;
};

export const MAX_PAGE_BYTES = 10 * 1024 * 1024;
const TIMEOUT_MS = 30_000;
const ROBOTS_TIMEOUT_MS = 10_000;
const GAP_MS = 1_000;
const MAX_HOPS = 10;
const TRIES = 3;
/** The longest pause in which a page is waited for, and how long one is where the host does not say. */
const PATIENCE_MS = 60_000;
const PAUSE_MS = 5_000;

const ACCEPT =
  "text/html,application/xhtml+xml,text/markdown;q=0.9,application/pdf;q=0.9,application/xml;q=0.9,text/plain;q=0.8,*/*;q=0.1";
const PACKINGS = "gzip, deflate, br, zstd";
const NEVER = new AbortController().signal;

type Reading = {
  first: URL;
  ledBy: URL;
  signal: AbortSignal;
  patienceMs: () => number;
  outbound: Pick<Outbound, "send">;
};
type Shared = { answer: Promise<Answer>; users: number; over: AbortController };

export function createPageReader(options: PageReaderOptions): PageReader {
  const { document, destinations = [], clock = systemClock, userAgent = "Kamado" } = options;
  const { gapMs = GAP_MS, timeoutMs = TIMEOUT_MS, maxBytes = MAX_PAGE_BYTES } = options;
  const pace = new HostPace({ clock, destinations, gapMs });
  const names = new Set(["kamado", productOf(userAgent)]);
  const robots = new Robots({ clock, names, fetch: fetchRobots });
  const headers = { "user-agent": userAgent, "accept-language": languages() };
  const underway = new Map<string, Shared>();

  async function read(url: string, how: ReadOptions = {}): Promise<Page> {
    return pageOf(await fetch(url, how));
  }

  async function fetch(given: string, how: ReadOptions = {}): Promise<Answer> {
    const url = addressOf(given);
    const { signal = NEVER } = how;
    signal.throwIfAborted();
    // Requests of `how.outbound` may be held back, which is nothing to those who do without it.
    const key = `${how.outbound ? "held " : ""}${how.ledBy === undefined ? "" : `by ${how.ledBy} `}${url.href}`;
    const shared = underway.get(key) ?? begin(key, url, how);
    shared.users += 1;
    try {
      return await unlessAborted(shared.answer, signal);
    } finally {
      shared.users -= 1;
      if (shared.users === 0) shared.over.abort();
    }
  }

  function begin(key: string, first: URL, how: ReadOptions): Shared {
    const { timeLeftMs, outbound = options.outbound } = how;
    const ledBy = how.ledBy === undefined ? first : parseUrl(how.ledBy);
    const over = new AbortController();
    const patienceMs = () => Math.min(PATIENCE_MS, (timeLeftMs?.() ?? Number.POSITIVE_INFINITY) / 2);
    const answer = follow({ first, ledBy, signal: over.signal, patienceMs, outbound });
    const shared = { answer, users: 0, over };
    underway.set(key, shared);
    const end = () => underway.get(key) === shared && underway.delete(key);
    // Whoever comes later asks again.
    over.signal.addEventListener("abort", end);
    answer.then(end, end);
    return shared;
  }

  /** From address to address, each of which is checked like the first one. */
  async function follow(reading: Reading): Promise<Answer> {
    const seen = new Set<string>();
    for (let url = reading.first; ; ) {
      seen.add(url.href);
      const answer = await ask(url, reading);
      const redirect = redirectOf(answer);
      const next = redirect ?? refreshOf(answer);
      if (!next) return answer;
      url = addressOf(next.href);
      if (!redirect && seen.has(url.href)) return answer;
      if (seen.has(url.href) || seen.size > MAX_HOPS) throw circle(reading.first);
    }
  }

  /** One address, again after a pause where its host asks for one. */
  async function ask(url: URL, reading: Reading): Promise<Answer> {
    for (let tries = 1; ; tries++) {
      const answer = await askOnce(url, reading, tries < TRIES);
      if (answer === null) continue;
      const pauseMs = pauseOf(answer, clock.wall());
      if (pauseMs !== null) pace.pause(url, pauseMs);
      if (pauseMs === null || tries === TRIES || pauseMs > reading.patienceMs()) return answer;
    }
  }

  /** `null` for a connection that broke and may be opened again. */
  async function askOnce(url: URL, reading: Reading, isAgain: boolean): Promise<Answer | null> {
    const { signal, ledBy, outbound } = reading;
    const rules = isExempt(url, ledBy) ? NO_RULES : await robots.rulesFor(url, ledBy, signal);
    if (!rules.isAllowed(url)) throw refusedByRobots(url);
    const turn = { gapMs: rules.gapMs, patienceMs: reading.patienceMs(), signal };
    try {
      const request = {
        method: "GET",
        url: url.href,
        ledBy: ledBy.href,
        maxBytes,
        timeoutMs,
        signal,
      } as const;
      const accept = { accept: ACCEPT, "accept-encoding": PACKINGS };
      const answer = await pace.take(url, turn, () =>
        outbound.send({ ...request, headers: { ...headers, ...accept } }),
      );
      return { ...answer, bytes: await unpacked(answer, maxBytes) };
    } catch (thrown) {
      if (isAgain && isBroken(thrown)) return null;
      throw thrown;
    }
  }

  /** The owner's word about a site does not count where somebody else's page leads there. */
  const isExempt = (url: URL, first: URL) =>
    (url.origin === first.origin || destinationFor(destinations, first) !== undefined) &&
    destinationFor(destinations, url)?.ignoreRobots === true;

  async function fetchRobots(first: URL, ledBy: URL): Promise<Answer> {
    const turn = { gapMs: "none", patienceMs: PATIENCE_MS, signal: NEVER } as const;
    for (let url = first, hops = 0; ; hops++) {
      const request = { method: "GET", url: url.href, ledBy: ledBy.href, answer: "cut", headers } as const;
      const limits = { maxBytes: MAX_ROBOTS_BYTES, timeoutMs: Math.min(timeoutMs, ROBOTS_TIMEOUT_MS) };
      const answer = await pace.take(url, turn, () => options.outbound.send({ ...request, ...limits }));
      const next = redirectOf(answer);
      if (!next) return { ...answer, bytes: await unpacked(answer, MAX_ROBOTS_BYTES) };
      if (hops === MAX_HOPS) throw circle(first);
      url = addressOf(next.href);
    }
  }

  /** A page of http:// is asked for with https://, as browsers do, unless the owner has listed it. */
  function addressOf(given: string): URL {
    const url = parseUrl(given.trim());
    url.hash = "";
    // The safe client checks the rest, for each address that is asked.
    checkUrl(url, { known: true, allowPrivate: true });
    const isPlain = url.protocol === "http:" && url.port === "";
    if (isPlain && destinationFor(destinations, url) === undefined) url.protocol = "https:";
    return url;
  }

  async function pageOf(answer: Answer): Promise<Page> {
    const { status, bytes, url } = answer;
    const source = { bytes, contentType: answer.headers["content-type"] ?? null, url };
    if (status >= 200 && status < 300) return document(source);
    // The page may say why it is not shown.
    const page = WITH_OBSTACLE.has(status) ? await document(source).catch(() => null) : null;
    const obstacle = answer.headers["cf-mitigated"] === "challenge" ? "javascript" : page?.obstacle;
    if (page && obstacle && obstacle !== "error") return { ...page, obstacle };
    throwForStatus(answer, clock.wall());
    throw new KamadoError("fetch_rejected", `${new URL(url).hostname} answered ${status}.`);
  }

  return { read, fetch, pageOf };
}

/** Sites answer so where one has to pay, to sign in, or to pass a check in a browser. */
const WITH_OBSTACLE: ReadonlySet<number> = new Set([401, 402, 403, 429, 451, 503]);

const productOf = (userAgent: string) => /^[\w-]*/.exec(userAgent)![0].toLowerCase();

/** The language of this machine first. */
function languages(): string {
  const own = Intl.DateTimeFormat().resolvedOptions().locale;
  return [own, "en;q=0.8", "*;q=0.5"]
    .filter((one) => !/^en\b.*;/.test(one) || !own.startsWith("en"))
    .join(",");
}

const unpacked = ({ bytes, headers }: Answer, maxBytes: number) =>
  unpackAnswer(bytes, headers["content-encoding"], maxBytes);

function refreshOf({ status, headers, bytes, url }: Answer): URL | null {
  if (status < 200 || status >= 300 || !/html|^\s*$/i.test(headers["content-type"] ?? "")) return null;
  // What leads elsewhere is written in ASCII.
  const html = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, REFRESH_BYTES));
  const target = refreshTarget(headers.refresh ?? "") ?? refreshIn(html.toString("latin1"));
  const next = target !== null && URL.canParse(target, url) ? new URL(target, url) : null;
  return next && /^https?:$/.test(next.protocol) ? next : null;
}
const REFRESH_BYTES = 64 * 1024;

/** For how long the host wants to be left alone before the same may be asked again. */
function pauseOf({ status, headers }: Answer, now: number): number | null {
  if (status !== 429 && status !== 503) return null;
  return parseRetryAfter(headers["retry-after"], now) ?? (status === 429 ? PAUSE_MS : null);
}

/** A connection that was kept open may be closed just when it is used again. */
const isBroken = (thrown: unknown) =>
  thrown instanceof KamadoError &&
  ["ECONNRESET", "EPIPE", "UND_ERR_SOCKET"].includes(thrown.detail?.networkCode ?? "");

const circle = ({ hostname }: URL) =>
  new KamadoError(
    "fetch_rejected",
    `${hostname} redirects in a circle or more than ${MAX_HOPS} times; it may want a browser that keeps its cookies.`,
  );

const refusedByRobots = ({ hostname: host }: URL) =>
  new KamadoError("robots_refused", `${host}: its robots.txt asks programs not to read this page.`, {
    detail: { host },
  });
