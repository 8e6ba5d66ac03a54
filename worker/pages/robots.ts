// What a site allows programs to read: its robots.txt, by RFC 9309, fetched once for some hours. Owns what the answer to the request for
// it means, and which part of the file is for us; the rules themselves are matched by robots-parser. How the file is fetched, and what
// becomes of a page that must not be read, is left to page-reader.ts.
import { createRequire } from "node:module";
import { unlessAborted } from "../async/abort.ts";
import type { Clock } from "../async/clock.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { Answer } from "../outbound/answer.ts";

// Loaded with the first page. The package describes itself as a module, which it is not.
const require = createRequire(import.meta.url);
type Robot = {
  isAllowed(url: string, agent: string): boolean | undefined;
  getCrawlDelay(agent: string): number | undefined;
};
const parse = (url: string, text: string): Robot => require("robots-parser")(url, text);

export type RobotsOptions = {
  /** GETs the file, with redirects followed, cut at `MAX_ROBOTS_BYTES`. `ledBy`: the page for which it is read. */
  fetch(url: URL, ledBy: URL): Promise<Answer>;
  clock: Pick<Clock, "now">;
  /** The names to which we listen, in small letters. */
  names: ReadonlySet<string>;
};

/** What a site says to us. */
export type Rules = {
  isAllowed(url: URL): boolean;
  /** The pause that it asks for between two requests. */
  gapMs: number;
};

export const MAX_ROBOTS_BYTES = 500_000;
const KEPT_MS = 4 * 3_600_000;
/** After that it is asked again whether the file can be read now. */
const FAILURE_KEPT_MS = 60_000;
const MAX_SITES = 1_000;
/** Of what all the files that are kept say to us. Characters. */
const MAX_KEPT = 8_000_000;
/** Some sites ask for hours. */
const LONGEST_GAP_MS = 30_000;
/** A pattern is matched with so much of an address. Characters. */
const MATCHED = 2_000;
/** Of a file that is made to take long, with less: a step for each character of the patterns and of the address, a quarter of a second in all. */
const MAX_STEPS = 100_000_000;

type Kept = { rules: Promise<Rules>; until: number; size: number };

export class Robots {
  readonly #options: RobotsOptions;
  readonly #sites = new Map<string, Kept>();
  #size = 0;

  constructor(options: RobotsOptions) {
    this.#options = options;
  }

  /**
   * The rules of the site that an address belongs to. Throws `fetch_failed` while nobody can tell what they are, and what the safe client
   * throws for an address that must not be reached.
   */
  async rulesFor(url: URL, ledBy: URL, signal: AbortSignal): Promise<Rules> {
    const kept = this.#sites.get(url.origin);
    if (kept && kept.until > this.#options.clock.now()) return unlessAborted(kept.rules, signal);
    return unlessAborted(this.#ask(url.origin, ledBy), signal);
  }

  #ask(origin: string, ledBy: URL): Promise<Rules> {
    const { promise, resolve, reject } = Promise.withResolvers<Rules>();
    // Nobody may be waiting any more when it fails.
    promise.catch(() => {});
    const asked = { rules: promise, until: Number.POSITIVE_INFINITY, size: 0 };
    this.#keep(origin, asked);
    const settle = (ms: number, size = 0) => {
      if (this.#sites.get(origin) !== asked) return;
      this.#keep(origin, { ...asked, until: this.#options.clock.now() + ms, size });
    };
    this.#options.fetch(new URL("/robots.txt", origin), ledBy).then(
      (answer) => {
        if (!isReadable(answer)) {
          reject(unknown(answer));
          return settle(FAILURE_KEPT_MS);
        }
        const text = ourPart(textOf(answer), this.#options.names);
        resolve(rulesIn(text, origin));
        settle(KEPT_MS, text.length);
      },
      (thrown) => {
        const error = toKamadoError(thrown, "fetch_failed");
        if (error.code === "fetch_rejected") {
          // It redirects for ever, which is as good as none.
          resolve(NO_RULES);
          return settle(KEPT_MS);
        }
        reject(error);
        settle(error.retry ? FAILURE_KEPT_MS : 0);
      },
    );
    return promise;
  }

  #keep(origin: string, kept: Kept): void {
    this.#forget(origin);
    this.#sites.set(origin, kept);
    this.#size += kept.size;
    for (const oldest of this.#sites.keys()) {
      if (this.#sites.size <= MAX_SITES && this.#size <= MAX_KEPT) break;
      this.#forget(oldest);
    }
  }

  #forget(origin: string): void {
    this.#size -= this.#sites.get(origin)?.size ?? 0;
    this.#sites.delete(origin);
  }
}

/** Of a site without the file. */
export const NO_RULES: Rules = { isAllowed: () => true, gapMs: 0 };

/** A site without the file allows everything. One that cannot tell just now has to be left alone. */
const isReadable = ({ status }: Answer) => status < 500 && status !== 429 && status !== 408;

const textOf = ({ status, bytes }: Answer): string => {
  if (status < 200 || status >= 300) return "";
  const text = new TextDecoder().decode(bytes);
  // The last line is not whole.
  return bytes.length < MAX_ROBOTS_BYTES ? text : text.replace(/[^\n]*$/, "");
};

function unknown({ status, url }: Answer): KamadoError {
  const { hostname: host } = new URL(url);
  return new KamadoError(
    "fetch_failed",
    `${host} answers ${status} for its robots.txt. Until that says what may be read, nothing is read there.`,
    { detail: { host, httpStatus: status, retryAfterMs: FAILURE_KEPT_MS } },
  );
}

function rulesIn(text: string, origin: string): Rules {
  if (text === "") return NO_RULES;
  const robots = parse(new URL("/robots.txt", origin).href, text);
  const seconds = robots.getCrawlDelay(US) ?? 0;
  const matched = Math.min(MATCHED, Math.ceil(MAX_STEPS / text.length));
  return {
    isAllowed: ({ pathname, search }) =>
      pathname === "/robots.txt" ||
      (robots.isAllowed(origin + (pathname + search).slice(0, matched), US) ?? true),
    gapMs: Math.min(Math.max(0, seconds * 1_000), LONGEST_GAP_MS),
  };
}

const US = "kamado";
const AGENT = /^user[\s-]*agent$/;
/** As the most tolerant readers of these files read them. */
const RULE: readonly [RegExp, string][] = [
  [/^allow$/, "allow"],
  [/^dis+al+ow$/, "disallow"],
  [/^crawl[\s-]*delay$/, "crawl-delay"],
];

/** What is said to us or to everybody. The rest would take time and memory, as much as its writer likes. */
export function ourPart(text: string, names: ReadonlySet<string>): string {
  const kept: string[] = [];
  let group: Set<string> | null = new Set();
  let isRules = false;
  const begin = () => kept.push(...[...(group ?? [])].map((name) => `user-agent: ${name}`));
  for (const [name, value] of fieldsIn(text)) {
    if (AGENT.test(name)) {
      if (isRules) group = new Set();
      isRules = false;
      const agent = /^(?:\*|[\w-]+)/.exec(value.toLowerCase())?.[0] ?? "";
      if (agent === "*" || names.has(agent)) group?.add(agent === "*" ? agent : US);
      continue;
    }
    const rule = RULE.find(([pattern]) => pattern.test(name))?.[1];
    if (rule === undefined) continue;
    if (!isRules) begin();
    isRules = true;
    if (group.size > 0) kept.push(`${rule}: ${value}`);
  }
  // Its last group allows everything.
  if (!isRules && group.size > 0) kept.push(...[...group].map((name) => `user-agent: ${name}`), "disallow:");
  return kept.join("\n");
}

function* fieldsIn(text: string): Generator<[name: string, value: string]> {
  for (const line of text.split(/\r\n?|\n/)) {
    const [said = ""] = line.split("#", 1);
    const end = said.indexOf(":");
    if (end > 0) yield [said.slice(0, end).trim().toLowerCase(), said.slice(end + 1).trim()];
  }
}
