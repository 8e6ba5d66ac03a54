// Continuous batching: one loop advances all slots, and one step is one llama_decode that carries the next token of every slot that
// decodes and parts of prompts. Requests join and leave at any step. In which slot a request starts, and from what, is left to
// prefix-sharing.ts.
import { setTimeout as sleep } from "node:timers/promises";
import type { Token } from "node-llama-cpp";
import type { BackendState } from "../../generation/backend.ts";
import type { PrefixSharing } from "./prefix-sharing.ts";
import { cancelReason, type Slot, type SlotRequest } from "./slot.ts";

export type BatchLoopOptions = {
  slots: readonly Slot[];
  sharing: PrefixSharing;
  batchSize: number;
  /** tokens of prompts in one step while a slot decodes */
  chunk: number;
};

const GATHER_MS = 5;
/** A prompt with so few tokens left goes before longer ones: it costs them little, and behind them it would wait for many steps. */
const SHORT = 64;
/** Every so many steps the oldest goes first all the same, so that none waits for ever. */
const OLDEST_FIRST_EVERY = 4;

export class BatchLoop {
  /** How many steps were taken. */
  steps = 0;
  readonly #options: BatchLoopOptions;
  readonly #waiting: SlotRequest[] = [];
  #running: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: BatchLoopOptions) {
    this.#options = options;
  }

  submit(request: SlotRequest): void {
    this.#options.sharing.expect(request.prompt);
    this.#waiting.push(request);
    this.#wake();
  }

  warmTokens(prompt: readonly Token[]): number {
    return this.#options.sharing.warmTokens(prompt);
  }

  slots(): BackendState["slots"] {
    return this.#options.slots.map(({ request, todo, evaluated: tokens }) => {
      return { state: request === undefined ? "idle" : todo === 1 ? "decode" : "prefill", tokens };
    });
  }

  /** Cancels all requests and waits for the step that is being computed. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }

  #wake(): void {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
      // A request may have come after the loop found none and before it ended.
      if (this.#waiting.length > 0) this.#wake();
    });
  }

  async #run(): Promise<void> {
    const { slots, sharing } = this.#options;
    let hasRoom = true;
    for (;;) {
      if (hasRoom) await this.#gather();
      await this.#cancelGone();
      await this.#admit();
      await sharing.settleWaits();
      const active = slots.filter(({ request }) => request !== undefined);
      if (active.length === 0) return;
      await this.#step(active);
      const freed = active.filter(({ request }) => request === undefined);
      for (const slot of freed) sharing.release(slot);
      hasRoom = freed.length > 0;
    }
  }

  /**
   * Waits while requests keep coming in, when the loop begins or slots were freed. Requests that come together shall start
   * together: their prompts then share one run of the model, where each that starts alone costs a run of its own.
   */
  async #gather(): Promise<void> {
    for (let left = GATHER_MS; left > 0; left--) {
      const before = this.#waiting.length;
      await sleep(1);
      if (this.#waiting.length === before) return;
    }
  }

  /** Frees the slots of clients that went away. */
  async #cancelGone(): Promise<void> {
    for (const slot of this.#options.slots) {
      if (!slot.request || !(this.#isClosed || slot.request.signal.aborted)) continue;
      await slot.cancel();
      this.#options.sharing.release(slot);
    }
  }

  async #admit(): Promise<void> {
    while (this.#waiting.length > 0) {
      const free = this.#options.slots.filter(({ request }) => request === undefined);
      if (free.length === 0) return;
      const request = this.#waiting.shift()!;
      if (this.#isClosed || request.signal.aborted) request.failed(cancelReason(request));
      else await this.#options.sharing.place(request, free).catch((thrown) => request.failed(thrown));
    }
  }

  async #step(active: readonly Slot[]): Promise<void> {
    const { sharing, batchSize, chunk } = this.#options;
    const isShort = ({ todo }: Slot) => Number(todo <= SHORT && this.steps % OLDEST_FIRST_EVERY !== 0);
    const inOrder = active.toSorted((a, b) => isShort(b) - isShort(a) || a.usedAt - b.usedAt);
    const work = inOrder.map((slot) => ({ todo: slot.todo, most: sharing.mostFor(slot) }));
    const plan = planStep(work, batchSize, chunk);
    const counts = new Map(inOrder.map((slot, at) => [slot, plan[at]!]));
    this.steps++;
    // All in one tick, because what is queued together is decoded together. And in the order of the sequences: llama.cpp splits a
    // batch that is not in this order, and each part is a run of the model of its own.
    await Promise.all(
      active.filter((slot) => counts.get(slot)! > 0).map((slot) => slot.advance(counts.get(slot)!)),
    );
  }
}

/** `todo`: tokens that a slot has still to evaluate, 1 when it decodes. `most`: how many of them it may take in this step. */
export type Work = { todo: number; most: number };

/**
 * How many tokens each active slot evaluates in the next step. Every slot that decodes takes its token in every step. Prompts
 * share what is left of the batch, in the order of `work`, and together at most `chunk` while others decode, because those wait for the
 * step to end. A prompt is cut only when it is the first and does not fit: a whole prompt costs less than its pieces, because
 * attention works in tiles.
 */
export function planStep(work: readonly Work[], batchSize: number, chunk: number): number[] {
  const decoding = work.filter(({ todo, most }) => todo === 1 && most > 0).length;
  const atMost = Math.min(batchSize - decoding, decoding > 0 ? chunk : batchSize);
  let room = atMost;
  return work.map(({ todo, most }) => {
    if (most === 0) return 0;
    if (todo === 1) return 1;
    const wanted = Math.min(todo, most);
    const part = wanted <= room ? wanted : room === atMost ? room : 0;
    room -= part;
    return part;
  });
}
