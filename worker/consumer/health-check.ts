// Whether something that every job needs is there: the engine, the bucket. Messages are not pulled while it is not: a job
// that waits in the queue loses nothing, a job that fails for want of an engine loses an attempt.

import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import type { Log } from "../logging/log.ts";

const PROBE_BACKOFF = { baseMs: 200, maxMs: 15_000 };

export type HealthCheckOptions = {
  what: "engine" | "bucket";
  /** Whether it answers now; must not throw. */
  probe(): Promise<boolean>;
  clock: Clock;
  log: Log;
};

export class HealthCheck {
  readonly #options: HealthCheckOptions;
  #open = false;
  #missed = 0;

  constructor(options: HealthCheckOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** It was asked and did not answer. */
  get isAway(): boolean {
    return this.#missed > 0;
  }

  /** A job could not reach it: look before the next pull. */
  suspect(): void {
    this.#open = false;
  }

  /** Resolves when it answers, or when the signal fires. */
  async ready(signal: AbortSignal): Promise<void> {
    const { what, probe, clock, log } = this.#options;
    while (!this.#open && !signal.aborted) {
      this.#open = await probe();
      if (this.#open) {
        if (this.#missed > 0) log.info({ stage: what }, `the ${what} answers`);
        this.#missed = 0;
        return;
      }
      if (++this.#missed === 4) log.warn({ stage: what }, `waiting for the ${what}; jobs stay in the queue`);
      await clock.sleep(backoffMs(this.#missed, PROBE_BACKOFF), signal);
    }
  }
}
