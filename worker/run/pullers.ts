// One puller a queue, all on the same slots. Seen from outside they are one.
import type { QueueHealth } from "../queue/queue.ts";
import { Puller, type PullerOptions } from "./puller.ts";
import { SharedSlots } from "./shared-slots.ts";

/** What each queue has of its own. */
export type Source = Pick<PullerOptions, "queue" | "leases" | "acks" | "work"> & { weight: number };

export class Pullers {
  readonly #pullers: readonly Puller[];

  constructor(sources: readonly Source[], shared: Omit<PullerOptions, keyof Source | "slots">) {
    const slots = new SharedSlots(shared.capacity);
    this.#pullers = sources.map((source) => new Puller({ ...shared, ...source, slots }));
  }

  get running(): number {
    return this.#sum(({ running }) => running);
  }
  get waiting(): number {
    return this.#sum(({ waiting }) => waiting);
  }
  /** `ok` when every queue can be reached, else what is the matter with the first that cannot. */
  get health(): QueueHealth {
    return this.#pullers.find(({ health }) => health !== "ok")?.health ?? "ok";
  }

  start(): void {
    for (const puller of this.#pullers) puller.start();
  }
  cut(): void {
    for (const puller of this.#pullers) puller.cut();
  }
  async stop(deadlineMs: number): Promise<void> {
    await Promise.all(this.#pullers.map((puller) => puller.stop(deadlineMs)));
  }

  #sum(count: (puller: Puller) => number): number {
    return this.#pullers.reduce((sum, puller) => sum + count(puller), 0);
  }
}
