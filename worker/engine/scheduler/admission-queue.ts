// The waiting queue before the slots: bounded, and counted so that nothing grows without end. Who is next is turn-order.ts's
// business, who runs where inside a backend the backend's own.
import { KamadoError } from "../../errors.ts";
import { invalid } from "../generation/backend.ts";
import { INTERACTIVE, nextTurn, type Waiter } from "./queue-order.ts";

/** One answer's stay, from the door to the way out. */
export type Place = {
  /** Resolves when a slot is free; rejects with the signal's reason when it fires first. */
  turn(signal: AbortSignal, warmTokens?: () => number): Promise<void>;
  /** Gives the slot, or the place that never got one, back. Who waits gives up by the signal. May be called twice. */
  leave(): void;
};

/** The share of the queue that only interactive requests may take. */
const RESERVED = 0.25;

type Entry = Waiter & { since: number; call(): void };

export class AdmissionQueue {
  readonly #slots: number;
  readonly #maxWaiting: number;
  readonly #waiting: Entry[] = [];
  /** Places that jobs leave free, so that nobody who waits in person is refused for them. */
  readonly #reserved: number;
  #inside = 0;
  #busy = 0;
  #meanMs = 1_000;
  #afterOverdue = false;

  constructor(slots: number, maxWaiting: number) {
    this.#slots = slots;
    this.#maxWaiting = maxWaiting;
    this.#reserved = Math.floor(maxWaiting * RESERVED);
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

  /** Who waits for a slot, the oldest first. */
  list(): { rank: number; waitedMs: number }[] {
    const now = performance.now();
    return this.#waiting.map(({ rank, since }) => ({ rank, waitedMs: now - since }));
  }

  /** Takes `count` places or none. Throws `engine_busy`: also what is only being prepared counts. */
  enter(rank: number, count = 1): Place[] {
    const room = this.#slots + this.#maxWaiting - (rank === INTERACTIVE ? 0 : this.#reserved);
    if (count > room) throw invalid("n", `n: this engine's queue has room for ${room} such answers in all.`);
    if (this.#inside + count > room) throw this.#full();
    this.#inside += count;
    return Array.from({ length: count }, () => this.#place(rank));
  }

  #place(rank: number): Place {
    let state: "line" | "slot" | "gone" = "line";
    let since = 0;
    const call = () => {
      state = "slot";
      since = performance.now();
    };
    return {
      turn: (signal, warmTokens = () => 0) => this.#turn({ rank, warmTokens }, call, signal),
      leave: () => {
        if (state === "gone") return;
        if (state === "slot") this.#free(performance.now() - since);
        state = "gone";
        this.#inside--;
      },
    };
  }

  async #turn(who: Pick<Entry, "rank" | "warmTokens">, call: () => void, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#busy < this.#slots) {
      this.#busy++;
      return call();
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const entry: Entry = {
      ...who,
      passedOver: 0,
      since: performance.now(),
      call() {
        signal.removeEventListener("abort", giveUp);
        call();
        resolve();
      },
    };
    const giveUp = () => {
      this.#waiting.splice(this.#waiting.indexOf(entry), 1);
      reject(signal.reason);
    };
    signal.addEventListener("abort", giveUp, { once: true });
    this.#waiting.push(entry);
    return promise;
  }

  /** A slot goes straight to the next in queue, so that nobody can slip in between. */
  #free(tookMs: number): void {
    this.#meanMs += (tookMs - this.#meanMs) / 8;
    if (this.#waiting.length === 0) {
      this.#busy--;
      return;
    }
    const { at, overdue } = nextTurn(this.#waiting, { slots: this.#slots, afterOverdue: this.#afterOverdue });
    this.#afterOverdue = overdue;
    for (let older = 0; older < at; older++) this.#waiting[older]!.passedOver++;
    this.#waiting.splice(at, 1)[0]!.call();
  }

  #full(): KamadoError {
    const retryAfterMs = 1_000 * retryAfterSeconds(this.waiting, this.#slots, this.#meanMs);
    return new KamadoError("engine_busy", `All ${this.#slots} slots are taken and ${this.waiting} wait.`, {
      detail: { retryAfterMs },
    });
  }
}

/** When it is worth asking again: after about half the queue has moved on; 1 to 60 seconds. */
export function retryAfterSeconds(waiting: number, slots: number, meanMs: number): number {
  return Math.min(60, Math.max(1, Math.round((waiting / 2 / slots) * (meanMs / 1_000))));
}
