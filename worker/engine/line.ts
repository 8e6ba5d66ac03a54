// The waiting line before the slots: bounded, first come first served. Who runs where inside a backend is its own affair.
import { KamadoError } from "../errors.ts";

/** One request's stay, from the door to the way out. */
export type Place = {
  /** Resolves when a slot is free; rejects with the signal's reason when it fires first. */
  turn(signal: AbortSignal): Promise<void>;
  /** Gives the slot, or the place that never got one, back. Who waits gives up by the signal. May be called twice. */
  leave(): void;
};

export class Line {
  readonly #slots: number;
  readonly #maxWaiting: number;
  readonly #waiting: (() => void)[] = [];
  #inside = 0;
  #busy = 0;
  #meanMs = 1_000;

  constructor(slots: number, maxWaiting: number) {
    this.#slots = slots;
    this.#maxWaiting = maxWaiting;
  }

  get slots(): number {
    return this.#slots;
  }
  get busy(): number {
    return this.#busy;
  }
  get waiting(): number {
    return this.#inside - this.#busy;
  }

  /** Takes a place or throws `engine_busy`: also what is only being prepared counts, so that nothing grows unbounded. */
  enter(): Place {
    if (this.#inside >= this.#slots + this.#maxWaiting) throw this.#full();
    this.#inside++;
    let state: "line" | "slot" | "gone" = "line";
    let since = 0;
    const call = () => {
      state = "slot";
      since = performance.now();
    };
    return {
      turn: (signal) => this.#turn(call, signal),
      leave: () => {
        if (state === "gone") return;
        if (state === "slot") this.#free(performance.now() - since);
        state = "gone";
        this.#inside--;
      },
    };
  }

  async #turn(call: () => void, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#busy < this.#slots) {
      this.#busy++;
      return call();
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const entry = () => {
      signal.removeEventListener("abort", giveUp);
      call();
      resolve();
    };
    const giveUp = () => {
      this.#waiting.splice(this.#waiting.indexOf(entry), 1);
      reject(signal.reason);
    };
    signal.addEventListener("abort", giveUp, { once: true });
    this.#waiting.push(entry);
    return promise;
  }

  /** A slot goes straight to the next in line, so that nobody can slip in between. */
  #free(tookMs: number): void {
    this.#meanMs += (tookMs - this.#meanMs) / 8;
    const next = this.#waiting.shift();
    if (next) next();
    else this.#busy--;
  }

  #full(): KamadoError {
    const retryAfter = retryAfterSeconds(this.waiting, this.#slots, this.#meanMs);
    return new KamadoError("engine_busy", `All ${this.#slots} slots are taken and ${this.waiting} wait.`, {
      detail: { retryAfter },
    });
  }
}

/** When it is worth asking again: after about half the line has moved on; 1 to 60 seconds. */
export function retryAfterSeconds(waiting: number, slots: number, meanMs: number): number {
  return Math.min(60, Math.max(1, Math.round((waiting / 2 / slots) * (meanMs / 1_000))));
}
