// Continuous batching: one loop owns all slots, and one step is one llama_decode that carries every active slot's next token
// and parts of prompts. Jobs join and leave at any step. What goes where is decided in schedule.ts.
import type { LlamaContextSequence } from "node-llama-cpp";
import { chooseSlot, planStep } from "./schedule.ts";
import { type Job, Slot } from "./slot.ts";

export class Lockstep {
  /** Steps taken, for whoever counts. */
  steps = 0;
  readonly #slots: readonly Slot[];
  readonly #batchSize: number;
  readonly #waiting: Job[] = [];
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(sequences: readonly LlamaContextSequence[], batchSize: number) {
    this.#slots = sequences.map((sequence) => new Slot(sequence));
    this.#batchSize = batchSize;
  }

  submit(job: Job): void {
    this.#waiting.push(job);
    this.#wake();
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
    for (;;) {
      await this.#dismiss();
      await this.#admit();
      const active = this.#slots.filter(({ job }) => job !== undefined).sort((a, b) => a.usedAt - b.usedAt);
      if (active.length === 0) return;
      const plan = planStep(
        active.map(({ todo }) => todo),
        this.#batchSize,
      );
      this.steps++;
      // All in one tick: what is queued together is decoded together.
      await Promise.all(active.map((slot, index) => plan[index]! > 0 && slot.advance(plan[index]!)));
    }
  }

  /** Frees the slots whose client has gone. */
  async #dismiss(): Promise<void> {
    for (const slot of this.#slots)
      if (slot.job && (this.#closed || slot.job.signal.aborted)) await slot.cancel();
  }

  async #admit(): Promise<void> {
    while (this.#waiting.length > 0) {
      const free = this.#slots.filter(({ job }) => job === undefined);
      const job = this.#waiting[0]!;
      const chosen = free[chooseSlot(job.prompt, free)];
      if (chosen === undefined) return;
      this.#waiting.shift();
      if (this.#closed || job.signal.aborted) job.failed(job.signal.reason);
      else await chosen.take(job, this.#now++).catch((thrown) => chosen.fail(thrown));
    }
  }

  // Counts admissions: all that matters is who came first.
  #now = 1;
}
