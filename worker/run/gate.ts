// Whether something that every job needs is there: the engine, the bucket. Messages are not pulled while it is not: a job
// that waits in the queue loses nothing, a job that fails for want of an engine loses an attempt.
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import { backoffMs } from "./backoff.ts";

const PROBE_BACKOFF = { baseMs: 200, maxMs: 15_000 };

export type GateOptions = {
  what: "engine" | "bucket";
  /** Whether it answers now; must not throw. */
  probe(): Promise<boolean>;
  clock: Clock;
  log: Log;
};

export class Gate {
  readonly #options: GateOptions;
  #open = false;

  constructor(options: GateOptions) {
    this.#options = options;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** A job could not reach it: look before the next pull. */
  suspect(): void {
    this.#open = false;
  }

  /** Resolves when it answers, or when the signal fires. */
  async ready(signal: AbortSignal): Promise<void> {
    const { what, probe, clock, log } = this.#options;
    for (let failures = 0; !this.#open && !signal.aborted; failures++) {
      this.#open = await probe();
      if (this.#open && failures > 0) log.info({ station: what }, `the ${what} answers`);
      if (!this.#open && failures === 3)
        log.warn({ station: what }, `waiting for the ${what}; jobs stay in the queue`);
      if (!this.#open) await clock.sleep(backoffMs(failures + 1, PROBE_BACKOFF), signal);
    }
  }
}
