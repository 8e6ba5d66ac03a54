// Whether something that every job needs answers: the engine, the bucket. While it does not, no message is pulled. A job that
// waits in the queue loses nothing; a job that fails because the engine is down loses an attempt. A job that could not reach it
// is no proof, because the fault may be the job's own: a probe decides.
import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import type { KamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";

const PROBE_BACKOFF = { baseMs: 200, maxMs: 15_000 };
/** Failed probes in a row before the log says so. An engine that starts fails a few. */
const PROBES_BEFORE_WARNING = 4;

/** What a consumer asks before it pulls messages and before it starts one. */
export type Health = {
  /** Whether it answered the last time it was asked. */
  readonly isHealthy: boolean;
  /** Resolves when it answers, or when the signal fires. */
  healthy(signal: AbortSignal): Promise<void>;
};

export type HealthCheckOptions = {
  what: "engine" | "bucket";
  /** Resolves with null when it answers now, else with the reason. Must not throw. */
  probe(): Promise<KamadoError | null>;
  /** What to do about it. */
  hint?(cause: KamadoError): string;
  clock: Clock;
  log: Log;
};

export class HealthCheck implements Health {
  readonly #options: HealthCheckOptions;
  #isHealthy = false;
  #failedProbes = 0;
  #cause: KamadoError | null = null;
  #probing: Promise<void> | undefined;
  /** Counted, so that a probe can tell that its answer came from before. */
  #losses = 0;

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

  /** Why the last probe failed; null when it did not. */
  get cause(): KamadoError | null {
    return this.#cause;
  }

  /** A job could not reach it. Work goes on while a probe asks, and stops if that fails. */
  suspect(): void {
    if (this.#isHealthy) void this.#probe();
  }

  /** It is known to have ended. The next pull waits for a probe. */
  lost(): void {
    this.#isHealthy = false;
    this.#losses += 1;
  }

  async healthy(signal: AbortSignal): Promise<void> {
    while (!this.#isHealthy && !signal.aborted) {
      await this.#probe();
      if (this.#isHealthy) return;
      await this.#options.clock.sleep(backoffMs(this.#failedProbes, PROBE_BACKOFF), signal);
    }
  }

  /** Several may wait for one probe. */
  #probe(): Promise<void> {
    this.#probing ??= this.#probeNow().finally(() => {
      this.#probing = undefined;
    });
    return this.#probing;
  }

  async #probeNow(): Promise<void> {
    const { what, probe, log } = this.#options;
    const losses = this.#losses;
    this.#cause = await probe();
    this.#isHealthy = this.#cause === null && losses === this.#losses;
    if (this.#cause) return this.#failed(this.#cause);
    if (this.#failedProbes > 0) log.info({ stage: what }, `the ${what} answers`);
    this.#failedProbes = 0;
  }

  #failed(cause: KamadoError): void {
    const { what, hint, log } = this.#options;
    this.#failedProbes += 1;
    if (this.#failedProbes !== PROBES_BEFORE_WARNING) return;
    const text = [`waiting for the ${what}; jobs stay in the queue: ${cause.message}`, hint?.(cause)];
    log.warn({ stage: what, code: cause.code }, text.filter(Boolean).join(" "));
  }
}
