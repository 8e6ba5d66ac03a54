// How many lines of batches are on the queue at the same time: about as many as ended in the last 20 seconds. So a single job that comes
// behind them waits for no more than that, a cancel has little to take back, and many workers get enough to do.

const LEAST = 32;
const MOST = 512;
const PERIOD_MS = 10_000;
const PERIODS = 2;

export class SendWindow {
  readonly #now: () => number;
  #size = LEAST;
  #ended = 0;
  #since: number;

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
    this.#since = now();
  }

  get size(): number {
    this.#turn();
    return this.#size;
  }

  /** So many lines have ended. */
  ended(count: number): void {
    this.#turn();
    this.#ended += count;
    // A machine that is faster than before need not wait for the end of the period.
    this.#size = Math.max(this.#size, this.#measured());
  }

  #turn(): void {
    if (this.#now() - this.#since < PERIOD_MS) return;
    this.#size = this.#measured();
    this.#ended = 0;
    this.#since = this.#now();
  }

  #measured(): number {
    return Math.min(MOST, Math.max(LEAST, PERIODS * this.#ended));
  }
}
