// Owns which jobs of this worker may use the engine at the same time: all of them, but a suspect runs alone. Jobs enter in order of
// arrival, so that a suspect does not wait for those that came after it. Which job is a suspect is decided in
// job-lock/engine-deaths.ts.

type Waiting = { isAlone: boolean; admit(): void };

export class Quarantine {
  #inside = 0;
  #hasSuspect = false;
  #waiting: Waiting[] = [];

  /** Resolves with a function that leaves again. Rejects with the signal's reason if it fires first. */
  async enter(isAlone: boolean, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting = { isAlone, admit: resolve };
    const giveUp = () => {
      this.#waiting = this.#waiting.filter((one) => one !== waiting);
      reject(signal.reason);
      this.#admit();
    };
    signal.addEventListener("abort", giveUp, { once: true });
    this.#waiting.push(waiting);
    this.#admit();
    await promise.finally(() => signal.removeEventListener("abort", giveUp));
    return () => this.#leave(isAlone);
  }

  #leave(wasAlone: boolean): void {
    this.#inside -= 1;
    if (wasAlone) this.#hasSuspect = false;
    this.#admit();
  }

  #admit(): void {
    for (let [first] = this.#waiting; first; [first] = this.#waiting) {
      if (this.#hasSuspect || (first.isAlone && this.#inside > 0)) return;
      this.#waiting.shift();
      this.#inside += 1;
      this.#hasSuspect = first.isAlone;
      first.admit();
    }
  }
}
