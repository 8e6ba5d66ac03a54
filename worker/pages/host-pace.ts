// When a host may be asked: one request at a time and a pause between two, as its owner expects of a program. Several hosts are asked at
// once. Owns the order of those who wait for a host, and the pauses that it asks for. A host of the owner's own network has the pace
// that the destinations file gives it. What a host says of its pace is read in robots.ts and page-reader.ts.
import type { Clock } from "../async/clock.ts";
import { Semaphore } from "../async/semaphore.ts";
import { KamadoError } from "../errors.ts";
import { type Destinations, destinationFor } from "../outbound/destinations.ts";

export type HostPaceOptions = {
  clock: Pick<Clock, "now" | "sleep">;
  destinations: Destinations;
  /** Between the end of a request and the begin of the next one. */
  gapMs: number;
};

export type Turn = {
  /** The pause behind it that the host asks for. It counts where it is longer than the usual one. `none`: what belongs to the next request. [0] */
  gapMs?: number | "none";
  /** The longest pause that is waited for. */
  patienceMs: number;
  signal: AbortSignal;
};

type Host = { turns: Semaphore; users: number; gapMs: number; nextAt: number; pausedUntil: number };

/** Hosts that nobody waits for are remembered up to this number. */
const REMEMBERED = 1_000;
/** For the pages of others. */
const LONGEST_PAUSE_MS = 600_000;
/** At the same time, of a server in the owner's network. */
const AT_ONCE_AT_HOME = 4;

export class HostPace {
  readonly #options: HostPaceOptions;
  readonly #hosts = new Map<string, Host>();

  constructor(options: HostPaceOptions) {
    this.#options = options;
  }

  /** How many hosts are known; the number is bounded. */
  get size(): number {
    return this.#hosts.size;
  }

  /**
   * Runs `work` when its turn comes. Throws `fetch_failed` where the host has asked for a longer pause than `patienceMs`, and the signal's
   * reason.
   */
  async take<T>(url: URL, { gapMs = 0, patienceMs, signal }: Turn, work: () => Promise<T>): Promise<T> {
    const { clock } = this.#options;
    const host = this.#host(url);
    host.users += 1;
    try {
      return await host.turns.take(async () => {
        const pauseMs = host.pausedUntil - clock.now();
        if (pauseMs > patienceMs) throw paused(url, pauseMs);
        const waitMs = Math.max(pauseMs, host.nextAt - clock.now());
        if (waitMs > 0) await clock.sleep(waitMs, signal);
        signal.throwIfAborted();
        try {
          return await work();
        } finally {
          if (gapMs !== "none") host.nextAt = clock.now() + Math.max(gapMs, host.gapMs);
        }
      }, signal);
    } finally {
      host.users -= 1;
    }
  }

  /** The host wants to be left alone for so long. */
  pause(url: URL, ms: number): void {
    this.#host(url).pausedUntil = this.#options.clock.now() + Math.min(ms, LONGEST_PAUSE_MS);
  }

  #host(url: URL): Host {
    const known = this.#hosts.get(url.host) ?? this.#newHost(url);
    // The last one in the order is the one that was used last.
    this.#hosts.delete(url.host);
    this.#hosts.set(url.host, known);
    for (const [name, { users }] of this.#hosts) {
      if (this.#hosts.size <= REMEMBERED) break;
      if (users === 0 && name !== url.host) this.#hosts.delete(name);
    }
    return known;
  }

  #newHost(url: URL): Host {
    const { destinations, gapMs } = this.#options;
    const known = destinationFor(destinations, url);
    const rest = { users: 0, nextAt: 0, pausedUntil: 0 };
    if (!known?.allowPrivate) return { ...rest, turns: new Semaphore(1), gapMs };
    const { maxPerSecond, maxConcurrent = AT_ONCE_AT_HOME } = known;
    const atOnce = maxPerSecond === undefined ? maxConcurrent : 1;
    return { ...rest, turns: new Semaphore(atOnce), gapMs: maxPerSecond ? 1_000 / maxPerSecond : 0 };
  }
}

const paused = ({ hostname: host }: URL, ms: number) =>
  new KamadoError("fetch_failed", `${host} asked to be left alone for ${Math.ceil(ms / 1_000)} seconds.`, {
    detail: { host, retryAfterMs: Math.ceil(ms) },
  });
