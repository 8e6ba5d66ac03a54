// What each slot does, since when, and how many tokens it holds; and how many tokens a second all of them make. For the
// console and /metrics: nothing is decided by it.

export type SlotStat = {
  state: "idle" | "prefill" | "decode";
  /** When this state began, in epoch milliseconds. */
  since: number;
  /** Of the prompt and of the answer so far. */
  tokens: number;
  /** Of the answer (queue-order.ts); null when idle. */
  rank: number | null;
};

const RATE_SECONDS = 5;

export class SlotStats {
  readonly #slots: SlotStat[];
  readonly #rate: Rate;

  constructor(count: number, now: () => number = Date.now) {
    this.#rate = new Rate(now);
    this.#slots = Array.from({ length: count }, idle);
  }

  list(): readonly Readonly<SlotStat>[] {
    return this.#slots;
  }
  get tokensPerSecond(): number {
    return this.#rate.perSecond();
  }

  /** Marks the first idle slot as busy. There is one, because the queue lets in no more answers than there are slots. */
  start(rank: number, promptTokens: number): { onToken(): void; end(): void } {
    const index = this.#slots.findIndex(({ state }) => state === "idle");
    const slot: SlotStat = { state: "prefill", since: Date.now(), tokens: promptTokens, rank };
    this.#slots[index] = slot;
    return {
      onToken: () => {
        this.#rate.count();
        slot.tokens++;
        if (slot.state === "prefill") Object.assign(slot, { state: "decode", since: Date.now() });
      },
      end: () => {
        this.#slots[index] = idle();
      },
    };
  }
}

const idle = (): SlotStat => ({ state: "idle", since: Date.now(), tokens: 0, rank: null });

/** The mean of the last whole seconds. The current second is not complete, so it does not count yet. */
export class Rate {
  readonly #now: () => number;
  readonly #counts = new Map<number, number>();

  constructor(now: () => number) {
    this.#now = now;
  }

  count(): void {
    const second = this.#second();
    const known = this.#counts.get(second);
    this.#counts.set(second, (known ?? 0) + 1);
    if (known === undefined) this.#forgetBefore(second - RATE_SECONDS);
  }

  perSecond(): number {
    const current = this.#second();
    let sum = 0;
    for (let ago = 1; ago <= RATE_SECONDS; ago++) sum += this.#counts.get(current - ago) ?? 0;
    return sum / RATE_SECONDS;
  }

  #second(): number {
    return Math.floor(this.#now() / 1_000);
  }

  #forgetBefore(first: number): void {
    for (const second of this.#counts.keys()) if (second < first) this.#counts.delete(second);
  }
}
