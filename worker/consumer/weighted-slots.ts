// The slots of a worker, shared by the queues it pulls from: all of them for the one that alone has something to run, by
// weight where several have (stride scheduling: whoever had least for its weight is next, so nobody starves).

/** May change while it is used: the engine's slots are known only when it answers. */
export type Slots = { readonly slots: number; readonly prefetch: number };

export type Sharer = {
  /** Starts one message if there is one to start; false when there is none. */
  start(): boolean;
  /** There may be room now for more messages than before. */
  onRoom(): void;
};

export class WeightedSlots {
  readonly #concurrency: Slots;
  readonly #shares: Share[] = [];
  /** How far the share that started last had come: one that was idle goes on from here and claims nothing for the past. */
  #now = 0;

  constructor(concurrency: Slots) {
    this.#concurrency = concurrency;
  }

  share(weight: number, sharer: Sharer): Share {
    const share = new Share(this, weight, sharer);
    this.#shares.push(share);
    return share;
  }

  get prefetch(): number {
    return this.#concurrency.prefetch;
  }

  /** How many slots one share may count on. */
  for({ weight, running }: Share): number {
    const { slots } = this.#concurrency;
    const all = this.#shares.reduce((sum, share) => sum + share.weight, 0);
    const free = Math.max(0, slots - this.#running);
    return Math.min(slots, Math.max(running + free, Math.ceil((slots * weight) / all)));
  }

  /** Starts what there is to start, in turns. */
  fill(): void {
    while (this.#running < this.#concurrency.slots) {
      const inTurn = this.#shares.toSorted((a, b) => this.#passOf(a) - this.#passOf(b));
      const next = inTurn.find((share) => share.sharer.start());
      if (!next) break;
      this.#now = this.#passOf(next);
      next.started(this.#now + 1 / next.weight);
    }
    for (const { sharer } of this.#shares) sharer.onRoom();
  }

  get #running(): number {
    return this.#shares.reduce((sum, { running }) => sum + running, 0);
  }

  #passOf = ({ pass }: Share): number => Math.max(pass, this.#now);
}

/** What one queue has of the slots. */
export class Share {
  readonly #all: WeightedSlots;
  readonly weight: number;
  readonly sharer: Sharer;
  running = 0;
  pass = 0;

  constructor(all: WeightedSlots, weight: number, sharer: Sharer) {
    this.#all = all;
    this.weight = weight;
    this.sharer = sharer;
  }

  get slots(): number {
    return this.#all.for(this);
  }
  get prefetch(): number {
    return this.#all.prefetch;
  }

  fill(): void {
    this.#all.fill();
  }

  started(pass: number): void {
    this.running += 1;
    this.pass = pass;
  }

  /** A run is over: its slot is anybody's. */
  ended(): void {
    this.running -= 1;
  }
}
