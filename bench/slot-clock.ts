// How busy slots were: counts the time of every run while there is a backlog, from the first begun to the last begun.
// What comes after is the end of the queue, where slots must run empty.

export type Busy = { jobs: number; busyShare: number; wallSeconds: number; mostAtOnce: number };

export class SlotClock {
  readonly #slots: number;
  readonly #jobs: number;
  readonly #now: () => number;
  readonly #runs: { from: number; to: number }[] = [];
  readonly #all = Promise.withResolvers<void>();
  #running = 0;
  #ended = 0;
  #most = 0;

  constructor(slots: number, jobs: number, now: () => number = () => performance.now()) {
    this.#slots = slots;
    this.#jobs = jobs;
    this.#now = now;
  }

  async run(work: () => Promise<void>): Promise<void> {
    const run = { from: this.#now(), to: Number.POSITIVE_INFINITY };
    this.#runs.push(run);
    this.#most = Math.max(this.#most, ++this.#running);
    await work();
    run.to = this.#now();
    this.#running -= 1;
    if (++this.#ended === this.#jobs) this.#all.resolve();
  }

  /** Resolves when all jobs have run. */
  ended(): Promise<void> {
    return this.#all.promise;
  }

  busy(): Busy {
    const starts = this.#runs.map(({ from }) => from);
    const [first, last] = [Math.min(...starts), Math.max(...starts)];
    const busy = this.#runs.reduce((total, { from, to }) => total + Math.min(to, last) - from, 0);
    return {
      jobs: this.#ended,
      busyShare: busy / (this.#slots * (last - first)),
      wallSeconds: (last - first) / 1_000,
      mostAtOnce: this.#most,
    };
  }
}
