// Whether something that every job needs answers: the engine, the bucket. While it does not, no message is pulled. A job that
// waits in the queue loses nothing; a job that fails because the engine is down loses an attempt.
import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import type { Log } from "../logging/log.ts";

const PROBE_BACKOFF = { baseMs: 200, maxMs: 15_000 };
/** Failed probes in a row before the log says so. An engine that starts fails a few. */
const PROBES_BEFORE_WARNING = 4;

/** What a consumer asks before it pulls messages and before it starts one. */
export type Health = {
  /** Whether it answered the last time, and nothing has failed since. */
  readonly isHealthy: boolean;
  /** Resolves when it answers, or when the signal fires. */
  healthy(signal: AbortSignal): Promise<void>;
};

export type HealthCheckOptions = {
  what: "engine" | "bucket";
  /** Whether it answers now. Must not throw. */
  probe(): Promise<boolean>;
  clock: Clock;
  log: Log;
};

export class HealthCheck implements Health {
  readonly #options: HealthCheckOptions;
  #isHealthy = false;
  #failedProbes = 0;

  constructor(options: HealthCheckOptions) {
    this.#options = options;
  }

  get isHealthy(): boolean {
    return this.#isHealthy;
  }

  /** Whether the last probe failed. False before the first one. */
  get isDown(): boolean {
    return this.#failedProbes > 0;
  }

  /** A job could not reach it. The next pull waits for a probe. */
  suspect(): void {
    this.#isHealthy = false;
  }

  async healthy(signal: AbortSignal): Promise<void> {
    const { what, probe, clock, log } = this.#options;
    while (!this.#isHealthy && !signal.aborted) {
      this.#isHealthy = await probe();
      if (this.#isHealthy) {
        if (this.#failedProbes > 0) log.info({ stage: what }, `the ${what} answers`);
        this.#failedProbes = 0;
        return;
      }
      this.#failedProbes += 1;
      if (this.#failedProbes === PROBES_BEFORE_WARNING)
        log.warn({ stage: what }, `waiting for the ${what}; jobs stay in the queue`);
      await clock.sleep(backoffMs(this.#failedProbes, PROBE_BACKOFF), signal);
    }
  }
}
