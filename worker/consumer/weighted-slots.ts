// The slots of a worker, shared by the consumers of its queues. A queue that alone has messages gets all of them. Where several
// have, they take turns by weight (stride scheduling: the queue that has had the least for its weight is next, so none starves).

/** May change while it is used: the engine's slots are known only when it answers. */
export type Slots = { readonly slots: number; readonly prefetch: number };

export type Sharer = {
  /** Starts one message if there is one to start; false when there is none. */
  start(): boolean;
  /** There may now be room for more messages. */
  onRoom(): void;
};

export class WeightedSlots {
  readonly #limit: Slots;
  readonly #shares: Share[] = [];
  /** The pass of the share that started last. A share that was idle continues from here and claims nothing for the past. */
  #pass = 0;

  constructor(limit: Slots) {
    this.#limit = limit;
  }

  share(weight: number, sharer: Sharer): Share {
    const share = new Share(this, weight, sharer);
    this.#shares.push(share);
    return share;
  }

  get prefetch(): number {
    return this.#limit.prefetch;
  }

  /** How many slots one share may count on. */
  for({ weight, running }: Share): number {
    const { slots } = this.#limit;
    const all = this.#shares.reduce((sum, share) => sum + share.weight, 0);
    const free = Math.max(0, slots - this.#running);
    return Math.min(slots, Math.max(running + free, Math.ceil((slots * weight) / all)));
  }

  /** Starts messages, by weight, until the slots are full or nothing waits. */
  fill(): void {
    while (this.#running < this.#limit.slots) {
      const inOrder = this.#shares.toSorted((a, b) => this.#passOf(a) - this.#passOf(b));
      const next = inOrder.find((share) => share.sharer.start());
      if (!next) break;
      this.#pass = this.#passOf(next);
      next.started(this.#pass + 1 / next.weight);
    }
    for (const { sharer } of this.#shares) sharer.onRoom();
  }

  get #running(): number {
    return this.#shares.reduce((sum, { running }) => sum + running, 0);
  }

  #passOf = ({ pass }: Share): number => Math.max(pass, this.#pass);
}

/** What one queue has of the slots. */
export class Share {
  readonly #all: WeightedSlots;
  readonly weight: number;
  readonly sharer: Sharer;
  running = 0;
  /** Grows by 1 / weight with each start; the share with the smallest is next. */
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

  /** A run is over: any share may use its slot. */
  ended(): void {
    this.running -= 1;
  }
}
