// How often llama-server has decoded, asked of its metrics now and then: whoever reads it gets what was known last.
import type { Server } from "./server.ts";

const EVERY_MS = 1_000;

export class Steps {
  /** of the servers before this one */
  #before = 0;
  #now = 0;
  #askedAt = Number.NEGATIVE_INFINITY;

  count(server: () => Server): number {
    if (performance.now() - this.#askedAt > EVERY_MS) void this.#ask(server).catch(() => {});
    return this.#before + this.#now;
  }

  /** A new server counts from zero. */
  reset(): void {
    this.#before += this.#now;
    this.#now = 0;
  }

  async #ask(server: () => Server): Promise<void> {
    this.#askedAt = performance.now();
    const metrics = await server().wire.get("/metrics");
    this.#now = stepsIn(metrics) ?? this.#now;
  }
}

/** From Prometheus' text; undefined when it is not told. */
export function stepsIn(metrics: string): number | undefined {
  const told = /^llamacpp:n_decode_total (\d+)/m.exec(metrics);
  return told ? Number(told[1]) : undefined;
}
