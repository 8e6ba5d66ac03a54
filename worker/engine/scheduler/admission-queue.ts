// The bounded queue in front of the slots. It admits answers or refuses them when it is full, and gives each free slot to
// the next one. Who is next is decided in queue-order.ts; which of its slots a backend uses is the backend's decision.
import { KamadoError } from "../../errors.ts";
import { invalid } from "../generation/backend.ts";
import { chooseNext, INTERACTIVE, type Waiting } from "./queue-order.ts";

/** The right of one admitted answer to wait for a slot and to use it. */
export type Admission = {
  /** Resolves when the answer has a slot; rejects with the signal's reason when that fires first. */
  untilSlot(signal: AbortSignal, warmTokens?: () => number): Promise<void>;
  /**
   * Gives back the slot or, before `untilSlot` is called and after it has rejected, the place in the queue. To end a wait, abort
   * its signal. May be called twice.
   */
  release(): void;
};

/** The share of the queue that is kept for interactive requests, so that jobs cannot fill it. */
const INTERACTIVE_SHARE = 0.25;
/** How far one answer's time moves the mean. */
const MEAN_WEIGHT = 1 / 8;

type Entry = Waiting & { since: number; giveSlot(): void };

export class AdmissionQueue {
  readonly #slots: number;
  readonly #maxWaiting: number;
  /** The oldest first. */
  readonly #waiting: Entry[] = [];
  #admitted = 0;
  #busy = 0;
  #meanMs = 1_000;
  #lastWasOverdue = false;

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
  /** Admitted and without a slot, those whose prompts are still being prepared included. */
  get waiting(): number {
    return this.#admitted - this.#busy;
  }

  /** The answers that wait for a slot, the oldest first. */
  list(): { rank: number; waitedMs: number }[] {
    const now = performance.now();
    return this.#waiting.map(({ rank, since }) => ({ rank, waitedMs: now - since }));
  }

  /** Throws `engine_busy` if there is no place even for one interactive answer. */
  expectRoom(): void {
    if (this.#admitted >= this.#slots + this.#maxWaiting) throw this.#full();
  }

  /** Admits `count` answers or none. Throws `engine_busy` when the queue is full. */
  admit(rank: number, count = 1): Admission[] {
    const reserved = rank === INTERACTIVE ? 0 : Math.floor(this.#maxWaiting * INTERACTIVE_SHARE);
    const capacity = this.#slots + this.#maxWaiting - reserved;
    if (count > capacity)
      throw invalid("n", `n: this engine's queue has room for ${capacity} such answers in all.`);
    if (this.#admitted + count > capacity) throw this.#full();
    this.#admitted += count;
    return Array.from({ length: count }, () => this.#admission(rank));
  }

  #admission(rank: number): Admission {
    let state: "waiting" | "running" | "released" = "waiting";
    let since = 0;
    const giveSlot = () => {
      state = "running";
      since = performance.now();
    };
    return {
      untilSlot: (signal, warmTokens = () => 0) => this.#untilSlot({ rank, warmTokens }, giveSlot, signal),
      release: () => {
        if (state === "released") return;
        if (state === "running") this.#passOnSlot(performance.now() - since);
        state = "released";
        this.#admitted--;
      },
    };
  }

  async #untilSlot(
    request: Pick<Waiting, "rank" | "warmTokens">,
    giveSlot: () => void,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    if (this.#busy < this.#slots) {
      this.#busy++;
      return giveSlot();
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const entry: Entry = {
      ...request,
      passedOver: 0,
      since: performance.now(),
      giveSlot() {
        signal.removeEventListener("abort", giveUp);
        giveSlot();
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

  /** The slot goes straight to the next in the queue and is never free in between, so that no newcomer can take it. */
  #passOnSlot(usedMs: number): void {
    this.#meanMs += (usedMs - this.#meanMs) * MEAN_WEIGHT;
    if (this.#waiting.length === 0) {
      this.#busy--;
      return;
    }
    const order = { slots: this.#slots, lastWasOverdue: this.#lastWasOverdue };
    const { index, isOverdue } = chooseNext(this.#waiting, order);
    this.#lastWasOverdue = isOverdue;
    for (const older of this.#waiting.slice(0, index)) older.passedOver++;
    this.#waiting.splice(index, 1)[0]!.giveSlot();
  }

  #full(): KamadoError {
    const retryAfterMs = 1_000 * retryAfterSeconds(this.waiting, this.#slots, this.#meanMs);
    return new KamadoError("engine_busy", `All ${this.#slots} slots are taken and ${this.waiting} wait.`, {
      detail: { retryAfterMs },
    });
  }
}

/** About when half of the queue will have been answered; 1 to 60 seconds. */
export function retryAfterSeconds(waiting: number, slots: number, meanMs: number): number {
  return Math.min(60, Math.max(1, Math.round((waiting / 2 / slots) * (meanMs / 1_000))));
}
