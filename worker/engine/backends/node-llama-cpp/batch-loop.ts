// Continuous batching: one loop owns all slots, and one step is one llama_decode that carries every active slot's next token
// and parts of prompts. Jobs join and leave at any step. What goes where is decided in schedule.ts, who shares what in sharing.ts.
import { setTimeout as sleep } from "node:timers/promises";
import type { Token } from "node-llama-cpp";
import type { BackendState } from "../../generation/backend.ts";
import type { PrefixSharing } from "./prefix-sharing.ts";
import { type Job, type Slot, whyGone } from "./slot.ts";
import { planStep } from "./step-plan.ts";

export type BatchLoopOptions = {
  slots: readonly Slot[];
  sharing: PrefixSharing;
  batchSize: number;
  /** tokens of prompts in a step in which somebody decodes */
  chunk: number;
};

const GATHER_MS = 5;

export class BatchLoop {
  /** Steps taken, for whoever counts. */
  steps = 0;
  readonly #options: BatchLoopOptions;
  readonly #waiting: Job[] = [];
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: BatchLoopOptions) {
    this.#options = options;
  }

  submit(job: Job): void {
    this.#options.sharing.expect(job.prompt);
    this.#waiting.push(job);
    this.#wake();
  }

  warmTokens(prompt: readonly Token[]): number {
    return this.#options.sharing.warmTokens(prompt);
  }

  slots(): BackendState["slots"] {
    return this.#options.slots.map(({ job, todo, evaluated: tokens }) => {
      return { state: job === undefined ? "idle" : todo === 1 ? "decode" : "prefill", tokens };
    });
  }

  #wake(): void {
    this.#running ??= this.#loop().finally(() => {
      this.#running = undefined;
      // A job may have come between the loop's last look and its end.
      if (this.#waiting.length > 0) this.#wake();
    });
  }

  /** Ends all jobs and waits for the step that is being computed. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  async #loop(): Promise<void> {
    const { slots, sharing } = this.#options;
    let hasRoom = true;
    for (;;) {
      if (hasRoom) await this.#gather();
      await this.#dismiss();
      await this.#admit();
      await sharing.settle();
      const active = slots.filter(({ job }) => job !== undefined);
      if (active.length === 0) return;
      await this.#step(active);
      const freed = active.filter(({ job }) => job === undefined);
      for (const slot of freed) sharing.left(slot);
      hasRoom = freed.length > 0;
    }
  }

  /**
   * Those who come together shall start together: their prompts then share a run of the model, and every slot that starts
   * alone costs one of its own. So a loop that begins, or has slots to give again, waits while requests keep coming in.
   */
  async #gather(): Promise<void> {
    for (let left = GATHER_MS; left > 0; left--) {
      const before = this.#waiting.length;
      await sleep(1);
      if (this.#waiting.length === before) return;
    }
  }

  async #step(active: readonly Slot[]): Promise<void> {
    const { sharing, batchSize, chunk } = this.#options;
    const byAge = active.toSorted((a, b) => a.usedAt - b.usedAt);
    const work = byAge.map((slot) => ({ todo: slot.todo, most: sharing.mostFor(slot) }));
    const plan = planStep(work, batchSize, chunk);
    const counts = new Map(byAge.map((slot, at) => [slot, plan[at]!]));
    this.steps++;
    // All in one tick: what is queued together is decoded together. And in the order of the sequences: llama.cpp splits a
    // batch where they are not in order, and each part is a run of the model of its own.
    await Promise.all(
      active.filter((slot) => counts.get(slot)! > 0).map((slot) => slot.advance(counts.get(slot)!)),
    );
  }

  /** Frees the slots whose client has gone. */
  async #dismiss(): Promise<void> {
    for (const slot of this.#options.slots) {
      if (!slot.job || !(this.#closed || slot.job.signal.aborted)) continue;
      await slot.cancel();
      this.#options.sharing.left(slot);
    }
  }

  async #admit(): Promise<void> {
    while (this.#waiting.length > 0) {
      const free = this.#options.slots.filter(({ job }) => job === undefined);
      if (free.length === 0) return;
      const job = this.#waiting.shift()!;
      if (this.#closed || job.signal.aborted) job.failed(whyGone(job));
      else await this.#options.sharing.place(job, free).catch((thrown) => job.failed(thrown));
    }
  }
}
