// Owns the consumers of all queues, which share one set of slots: it starts, stops and counts them as if they were one. What a
// consumer does with its queue is left to consumer.ts; whose message gets the next slot, to weighted-slots.ts.
import type { KamadoError } from "../errors.ts";
import type { QueueHealth } from "../queue/health.ts";
import { Consumer, type ConsumerOptions } from "./consumer.ts";
import type { Tenant } from "./tenant-shares.ts";
import { WeightedSlots } from "./weighted-slots.ts";

/** What each queue has of its own. */
export type Source = Pick<ConsumerOptions, "queue" | "work"> & { weight: number };

export class ConsumerGroup {
  readonly #consumers: readonly Consumer[];

  constructor(sources: readonly Source[], shared: Omit<ConsumerOptions, keyof Source | "slots">) {
    const slots = new WeightedSlots(shared.concurrency);
    this.#consumers = sources.map((source) => new Consumer({ ...shared, ...source, slots }));
  }

  get running(): number {
    return this.#sum(({ running }) => running);
  }
  get finishing(): number {
    return this.#sum(({ finishing }) => finishing);
  }
  get waiting(): number {
    return this.#sum(({ waiting }) => waiting);
  }
  /** Whose messages wait and run, in all queues together. */
  get tenants(): { tenant: Tenant; waiting: number; running: number }[] {
    const all = Map.groupBy(
      this.#consumers.flatMap(({ tenants }) => tenants),
      ({ tenant }) => tenant,
    );
    const sum = (counts: number[]) => counts.reduce((total, count) => total + count, 0);
    return [...all].map(([tenant, of]) => ({
      tenant,
      waiting: sum(of.map(({ waiting }) => waiting)),
      running: sum(of.map(({ running }) => running)),
    }));
  }
  /** `ok` when every queue answers, else the health of the first that does not. */
  get health(): QueueHealth {
    return this.#consumers.find(({ health }) => health !== "ok")?.health ?? "ok";
  }

  /** Why that queue does not answer. */
  get cause(): KamadoError | null {
    return this.#consumers.find(({ health }) => health !== "ok")?.cause ?? null;
  }

  start(): void {
    for (const consumer of this.#consumers) consumer.start();
  }
  cut(): void {
    for (const consumer of this.#consumers) consumer.cut();
  }
  async stop(deadlineMs: number): Promise<void> {
    await Promise.all(this.#consumers.map((consumer) => consumer.stop(deadlineMs)));
  }

  #sum(count: (consumer: Consumer) => number): number {
    return this.#consumers.reduce((sum, consumer) => sum + count(consumer), 0);
  }
}
