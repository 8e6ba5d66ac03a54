// How often somebody may be wrong about a token: so many times in a while from one address, and from all of them together. Bounded in
// memory, whoever asks.
import type { Clock } from "../async/clock.ts";
import { RecentMap } from "../async/recent-map.ts";

export type AttemptLimits = { perAddress: number; overall: number; windowMs: number };

type Failures = { count: number; until: number };

/** Addresses that are remembered. Who has more of them meets the limit of all together. */
const MOST_ADDRESSES = 1_000;

export class Attempts {
  readonly #limits: AttemptLimits;
  readonly #clock: Pick<Clock, "now">;
  readonly #byAddress = new RecentMap<string, Failures>(MOST_ADDRESSES);
  #all: Failures = { count: 0, until: 0 };

  constructor(limits: AttemptLimits, clock: Pick<Clock, "now">) {
    this.#limits = limits;
    this.#clock = clock;
  }

  /** How long to wait before the next attempt, in milliseconds; 0 when it may be made now. */
  waitMs(address: string): number {
    const now = this.#clock.now();
    const { perAddress, overall } = this.#limits;
    const own = this.#byAddress.get(address);
    const ownWait = own && own.count >= perAddress ? own.until - now : 0;
    return Math.max(0, ownWait, this.#all.count >= overall ? this.#all.until - now : 0);
  }

  failed(address: string): void {
    this.#byAddress.set(address, this.#more(this.#byAddress.get(address)));
    this.#all = this.#more(this.#all);
  }

  #more(before: Failures | undefined): Failures {
    const now = this.#clock.now();
    if (before && before.until > now) return { count: before.count + 1, until: before.until };
    return { count: 1, until: now + this.#limits.windowMs };
  }
}
