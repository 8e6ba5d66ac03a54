// One run of a table: where it prints, and the signal that ends everything it waits for. The signal fires on Ctrl-C, or when a
// process that is being measured ends by itself. Whoever started something stops it when the run unwinds.
import { setMaxListeners } from "node:events";

export type Print = (text: string) => void;

export class Session {
  readonly print: Print;
  readonly #ending = new AbortController();

  constructor(print: Print) {
    this.print = print;
    // Every request that is running listens to it.
    setMaxListeners(0, this.signal);
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** The first reason counts. */
  end(why: Error): void {
    this.#ending.abort(why);
  }

  /** Resolves like `work`, but rejects as soon as the session ends. */
  async during<T>(work: Promise<T>): Promise<T> {
    const { promise, reject } = Promise.withResolvers<never>();
    const giveUp = () => reject(this.signal.reason);
    if (this.signal.aborted) giveUp();
    this.signal.addEventListener("abort", giveUp, { once: true });
    try {
      return await Promise.race([promise, work]);
    } finally {
      this.signal.removeEventListener("abort", giveUp);
    }
  }
}
