// Which slot a request goes to: the one that has evaluated most of its prompt, and of those the one whose loss costs least.
// Pure; who runs where when is seating.ts's business.
import type { BackendState } from "../../generation/backend.ts";

export type Slot = {
  /** What it has evaluated, pictures included: see prompt.ts for how they are written as numbers. */
  tokens: readonly number[];
  busy: boolean;
  /** Grows with every use. */
  usedAt: number;
  conversation: string | undefined;
};

// A few tokens more in common are an accident: the same first words of a question.
const SAME = 16;

export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const length = Math.min(a.length, b.length);
  let at = 0;
  while (at < length && a[at] === b[at]) at++;
  return at;
}

/** Undefined when all are busy. */
export function chooseSlot(
  slots: readonly Slot[],
  prompt: readonly number[],
  conversation?: string,
): number | undefined {
  const free = slots.flatMap((slot, at) =>
    slot.busy ? [] : [{ at, slot, common: commonPrefix(slot.tokens, prompt) }],
  );
  const most = Math.max(...free.map(({ common }) => common));
  const best = free.filter(({ common }) => common >= most - SAME);
  const foreign = (slot: Slot) =>
    Number(slot.conversation !== undefined && slot.conversation !== conversation);
  // A conversation will go on, other prompts may come again; of equals the one that waited longest.
  best.sort(
    (a, b) =>
      foreign(a.slot) - foreign(b.slot) ||
      a.slot.tokens.length - a.common - (b.slot.tokens.length - b.common) ||
      a.slot.usedAt - b.slot.usedAt,
  );
  return best[0]?.at;
}

// The slots of the running llama-server, seen from here: who sits where, what each has evaluated, and whom to steer where.
export type Seat = {
  readonly index: number;
  /** How many tokens of the prompt it has evaluated already. */
  readonly common: number;
  /** It now holds these. */
  holds(tokens: readonly number[]): void;
  speaks(): void;
  leave(): void;
};
type Taken = Slot & { state: "idle" | "prefill" | "decode" };

const empty = (): Taken => ({ tokens: [], busy: false, usedAt: 0, conversation: undefined, state: "idle" });

export class SlotChoice {
  readonly #slots: Taken[];
  readonly #waiting: (() => void)[] = [];
  #clock = 0;
  /** Counts the servers: who sat in an earlier one changes nothing in this one. */
  #server = 0;

  constructor(count: number) {
    this.#slots = Array.from({ length: count }, empty);
  }

  /** Waits for a free one; the line before lets in as many as there are, but some may just be made warm. */
  async take(
    prompt: readonly number[],
    conversation: string | undefined,
    signal: AbortSignal,
  ): Promise<Seat> {
    for (;;) {
      signal.throwIfAborted();
      const index = chooseSlot(this.#slots, prompt, conversation);
      if (index !== undefined) return this.#sit(index, prompt, conversation);
      await this.#freed(signal);
    }
  }

  /** The most any free slot has of it. */
  warm(prompt: readonly number[]): number {
    return Math.max(0, ...this.#slots.map((slot) => (slot.busy ? 0 : commonPrefix(slot.tokens, prompt))));
  }

  /** A new server: nobody sits, and every slot holds `tokens`. */
  reset(tokens: readonly number[]): void {
    this.#server++;
    for (const at of this.#slots.keys()) this.#slots[at] = { ...empty(), tokens };
    for (const wake of this.#waiting.splice(0)) wake();
  }

  state(): BackendState["slots"] {
    return this.#slots.map(({ state, tokens }) => ({ state, tokens: tokens.length }));
  }

  #sit(index: number, prompt: readonly number[], conversation: string | undefined): Seat {
    const slot = this.#slots[index]!;
    const server = this.#server;
    const here = (change: () => void) => () => void (server === this.#server && change());
    Object.assign(slot, { busy: true, state: "prefill", conversation, usedAt: ++this.#clock });
    return {
      index,
      common: commonPrefix(slot.tokens, prompt),
      holds: (tokens) => here(() => Object.assign(slot, { tokens }))(),
      speaks: here(() => Object.assign(slot, { state: "decode" })),
      leave: here(() => {
        Object.assign(slot, { busy: false, state: "idle" });
        for (const wake of this.#waiting.splice(0)) wake();
      }),
    };
  }

  async #freed(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => resolve(), { once: true });
    this.#waiting.push(resolve);
    await promise;
  }
}
