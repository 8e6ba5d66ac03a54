// Lets jobs into the engine beside each other, and a suspect by itself. In order of arrival, so that a suspect is not
// kept waiting by those who came after it. Who is a suspect is decided in job-lock/engine-deaths.ts.

type Entrant = { alone: boolean; enter(): void };

export class Quarantine {
  #inside = 0;
  #hasSuspect = false;
  #line: Entrant[] = [];

  /** Resolves with how to leave again. Rejects with the signal's reason when it fires first. */
  async enter(alone: boolean, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const entrant = { alone, enter: resolve };
    const giveUp = () => {
      this.#line = this.#line.filter((one) => one !== entrant);
      reject(signal.reason);
      this.#admit();
    };
    signal.addEventListener("abort", giveUp, { once: true });
    this.#line.push(entrant);
    this.#admit();
    await promise.finally(() => signal.removeEventListener("abort", giveUp));
    return () => this.#leave(alone);
  }

  #leave(alone: boolean): void {
    this.#inside -= 1;
    if (alone) this.#hasSuspect = false;
    this.#admit();
  }

  #admit(): void {
    for (let [first] = this.#line; first; [first] = this.#line) {
      if (this.#hasSuspect || (first.alone && this.#inside > 0)) return;
      this.#line.shift();
      this.#inside += 1;
      this.#hasSuspect = first.alone;
      first.enter();
    }
  }
}
