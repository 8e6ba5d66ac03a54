// Shows the demo's progress: on a terminal one line for each job, elsewhere one line for each job that has ended.

import type { JobEvent, JobEvents } from "../../worker/logging/job-events.ts";
import { LiveBlock } from "../../worker/logging/terminal.ts";
import type { DemoJob } from "./scenario.ts";

export type Trace = { sentAt: number; state: string; deliveredMs: number | null };

const MARKS: Record<string, string> = {
  queued: "·",
  received: "▸",
  progress: "▸",
  stored: "◆",
  delivered: "◆",
  ended: "✔",
  delivery_failed: "✖",
};

export class Progress {
  readonly traces = new Map<string, Trace>();
  readonly #jobs: readonly DemoJob[];
  readonly #block: LiveBlock;
  readonly #ended = Promise.withResolvers<void>();
  readonly #unsubscribe: () => void;

  constructor(jobs: readonly DemoJob[], jobEvents: JobEvents, stream: NodeJS.WriteStream) {
    this.#jobs = jobs;
    this.#block = new LiveBlock(stream);
    this.#unsubscribe = jobEvents.subscribe((event) => this.#onEvent(event));
  }

  sent(id: string): void {
    this.traces.set(id, { sentAt: Date.now(), state: "queued", deliveredMs: null });
    this.#draw();
  }

  /** Resolves when every job has ended. */
  get allEnded(): Promise<void> {
    return this.#ended.promise;
  }

  stop(): void {
    this.#unsubscribe();
    this.#block.draw([]);
  }

  #onEvent(event: JobEvent): void {
    const { job, stage, at } = event;
    const trace = this.traces.get(job);
    if (!trace) return;
    if (stage === "delivered") trace.deliveredMs = at - trace.sentAt;
    const hasFailed = event.stage === "ended" && event.outcome !== "succeeded";
    trace.state = hasFailed ? `ended: ${event.outcome}` : stage;
    if (event.stage === "ended" && !this.#block.isLive) this.#block.log(`  ${job}: ${event.outcome}`);
    this.#draw();
    const ended = [...this.traces.values()].filter(({ state }) => state.startsWith("ended")).length;
    if (ended === this.#jobs.length) this.#ended.resolve();
  }

  #draw(): void {
    this.#block.draw(
      this.#jobs.map(({ id, kind, asked }) => {
        const state = this.traces.get(id)?.state ?? "";
        const mark = MARKS[state] ?? (state.startsWith("ended") ? "✖" : " ");
        const text = `  ${mark} ${id.padEnd(10)} ${kind.padEnd(16)} ${asked.slice(0, 44).padEnd(46)}`;
        return { text, style: state === "ended" ? "green" : "dim" };
      }),
    );
  }
}
