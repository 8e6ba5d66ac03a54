// One call of a bench: where it prints, and the signal on which all it waits for gives up: Ctrl-C, or a process that ended
// by itself while it was measured. What was started is stopped by whoever started it, on the way out.
import { setMaxListeners } from "node:events";

export type Print = (text: string) => void;

export class Session {
  readonly print: Print;
  readonly #ending = new AbortController();

  constructor(print: Print) {
    this.print = print;
    // Every request under way listens to it.
    setMaxListeners(0, this.signal);
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** The first reason counts. */
  end(why: Error): void {
    this.#ending.abort(why);
  }

  /** What `work` comes to; rejects as soon as the session ends. */
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
