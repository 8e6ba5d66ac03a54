// Lets only so many pieces of work run at the same time; the others wait in order.

export class Semaphore {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(atOnce: number) {
    this.#free = atOnce;
  }

  /** Throws the signal's reason when it fires before the work begins. */
  async take<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    signal?.throwIfAborted();
    if (this.#free > 0) this.#free -= 1;
    else await this.#wait(signal);
    try {
      return await work();
    } finally {
      // The place goes straight to the next in order, so that a newcomer cannot take it first.
      const [next] = this.#waiting;
      if (next) next();
      else this.#free += 1;
    }
  }

  #wait(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = () => {
      this.#waiting.delete(begin);
      reject(signal!.reason);
    };
    const begin = () => {
      this.#waiting.delete(begin);
      signal?.removeEventListener("abort", onAbort);
      resolve();
    };
    this.#waiting.add(begin);
    signal?.addEventListener("abort", onAbort, { once: true });
    return promise;
  }
}
