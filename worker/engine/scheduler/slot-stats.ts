// Who sits in the slots: what each answer is doing, since when, how many tokens it holds; and how fast tokens come.
// For the console and /metrics; nothing is decided by it.

export type Seat = {
  state: "idle" | "prefill" | "decode";
  /** When that began; epoch milliseconds. */
  since: number;
  /** of the prompt and of what was said */
  tokens: number;
  /** See turn-order.ts; null of an empty one. */
  rank: number | null;
};

const RATE_SECONDS = 5;

export class SlotStats {
  readonly #seats: Seat[];
  readonly #rate: Rate;

  constructor(count: number, now: () => number = Date.now) {
    this.#rate = new Rate(now);
    this.#seats = Array.from({ length: count }, () => empty());
  }

  list(): readonly Readonly<Seat>[] {
    return this.#seats;
  }
  get tokensPerSecond(): number {
    return this.#rate.perSecond();
  }

  /** The lowest free seat. There is one for each slot, and the queue lets in no more. */
  take(rank: number, promptTokens: number): { heard(): void; leave(): void } {
    const at = this.#seats.findIndex(({ state }) => state === "idle");
    const seat: Seat = { state: "prefill", since: Date.now(), tokens: promptTokens, rank };
    this.#seats[at] = seat;
    return {
      heard: () => {
        this.#rate.count();
        seat.tokens++;
        if (seat.state === "prefill") Object.assign(seat, { state: "decode", since: Date.now() });
      },
      leave: () => {
        this.#seats[at] = empty();
      },
    };
  }
}

const empty = (): Seat => ({ state: "idle", since: Date.now(), tokens: 0, rank: null });

/** Counts by the second and remembers the last few; the second that runs is not complete and not told. */
export class Rate {
  readonly #now: () => number;
  readonly #seconds = new Map<number, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  count(): void {
    const second = this.#second();
    const known = this.#seconds.get(second);
    this.#seconds.set(second, (known ?? 0) + 1);
    if (known === undefined) this.#forget(second);
  }

  perSecond(): number {
    const current = this.#second();
    let sum = 0;
    for (let ago = 1; ago <= RATE_SECONDS; ago++) sum += this.#seconds.get(current - ago) ?? 0;
    return sum / RATE_SECONDS;
  }

  #second(): number {
    return Math.floor(this.#now() / 1_000);
  }

  #forget(second: number): void {
    for (const known of this.#seconds.keys()) if (known < second - RATE_SECONDS) this.#seconds.delete(known);
  }
}
