// Owns what Kamado knows of llama-server's slots: which are busy, and what each has evaluated. It gives a request the free slot that
// suits its prompt best, or lets it wait for one. The rule is in prefix-cache/placement.ts; filling a slot from a file is left
// to prefix-files.ts.
import type { BackendState } from "../../generation/backend.ts";
import { nearest } from "../../prefix-cache/placement.ts";
import { sharedPrefix, type Tokens } from "../../prefix-cache/radix-tree.ts";

export type Slot = {
  /** What it has evaluated. Pictures are negative numbers: see chat-template.ts. */
  tokens: Tokens;
  busy: boolean;
  /** Grows with every use. */
  usedAt: number;
  conversation: string | undefined;
};

/** The index of the free slot that suits the prompt best. Undefined when all are busy. */
export function chooseSlot(
  slots: readonly Slot[],
  prompt: Tokens,
  conversation?: string,
): number | undefined {
  const free = [...slots.entries()].filter(([, { busy }]) => !busy);
  const chosen = nearest(
    free.map(([, { tokens, usedAt, conversation: own }]) => ({
      own: sharedPrefix(tokens, prompt),
      tokens: tokens.length,
      reserved: own !== undefined && own !== conversation,
      usedAt,
    })),
  );
  return free[chosen]?.[0];
}

/** llama-server takes this number as: choose any free slot. */
const ANY_SLOT = -1;

/** A slot while one request has it. */
export type TakenSlot = {
  /** The number that llama-server gets. */
  readonly index: number;
  /** How many tokens of the prompt it had evaluated before. */
  readonly common: number;
  /** The slot has evaluated exactly these tokens now. */
  holds(tokens: Tokens): void;
  /** The answer has begun. */
  decodes(): void;
  leave(): void;
};
type SlotState = Slot & { state: "idle" | "prefill" | "decode" };

const emptySlot = (): SlotState => {
  return { tokens: [], busy: false, usedAt: 0, conversation: undefined, state: "idle" };
};

export class SlotChoice {
  readonly #slots: SlotState[];
  readonly #isByPrompt: boolean;
  readonly #waiting: (() => void)[] = [];
  #uses = 0;
  /** Counts the servers: a request that ran in an earlier one changes nothing in this one. */
  #server = 0;

  /** With `isByPrompt` false llama-server chooses the slots. Then only the number of busy ones is known here. */
  constructor(count: number, isByPrompt: boolean) {
    this.#isByPrompt = isByPrompt;
    this.#slots = Array.from({ length: count }, emptySlot);
  }

  /** Waits for a free slot. The scheduler lets in only as many requests as there are slots, but one may still be filled from a file. */
  async take(prompt: Tokens, conversation: string | undefined, signal: AbortSignal): Promise<TakenSlot> {
    for (;;) {
      signal.throwIfAborted();
      const index = chooseSlot(this.#slots, prompt, conversation);
      if (index !== undefined) return this.#take(index, prompt, conversation);
      await this.#freed(signal);
    }
  }

  /** How many tokens of the prompt a free slot has, at most. */
  warmTokens(prompt: Tokens): number {
    return Math.max(0, ...this.#slots.map(({ busy, tokens }) => (busy ? 0 : sharedPrefix(tokens, prompt))));
  }

  /** A new server has started: all slots are free and hold `tokens`. */
  reset(tokens: Tokens): void {
    this.#server++;
    for (const at of this.#slots.keys()) this.#slots[at] = { ...emptySlot(), tokens };
    this.#wake();
  }

  state(): BackendState["slots"] {
    return this.#slots.map(({ state, tokens }) => ({ state, tokens: tokens.length }));
  }

  #take(index: number, prompt: Tokens, conversation: string | undefined): TakenSlot {
    const slot = this.#slots[index]!;
    const server = this.#server;
    const set = (change: Partial<SlotState>) => {
      if (server === this.#server) Object.assign(slot, change);
    };
    set({ busy: true, state: "prefill", conversation, usedAt: ++this.#uses });
    return {
      index: this.#isByPrompt ? index : ANY_SLOT,
      common: sharedPrefix(slot.tokens, prompt),
      holds: (tokens) => {
        if (this.#isByPrompt) set({ tokens });
      },
      decodes: () => set({ state: "decode" }),
      leave: () => {
        set({ busy: false, state: "idle" });
        this.#wake();
      },
    };
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  async #freed(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    signal.addEventListener("abort", () => resolve(), { once: true });
    this.#waiting.push(resolve);
    await promise;
  }
}
