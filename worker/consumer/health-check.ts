// Whether something that every job needs answers: the engine, the bucket. While it does not, no message is pulled. A job that
// waits in the queue loses nothing; a job that fails because the engine is down loses an attempt. A job that could not reach it
// is no proof, because the fault may be the job's own: a probe decides.
import { unlessAborted } from "../async/abort.ts";
import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import type { KamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";

const FIRST_PAUSE_MS = 200;
/** Failed probes in a row before the log says so. An engine that starts fails a few. */
const PROBES_BEFORE_WARNING = 4;

/** What a consumer asks before it pulls messages and before it starts one. */
export type Health = {
  /** Whether it answered the last time it was asked. */
  readonly isHealthy: boolean;
  /** Whether it is known to last for long: what was pulled already does not wait for it. [false] */
  readonly isLong?: boolean;
  /** Resolves when it answers, or when the signal fires. */
  healthy(signal: AbortSignal): Promise<void>;
};

export type HealthCheckOptions = {
  what: "engine" | "bucket" | "start check";
  /** Resolves with null when it answers now, else with the reason. Must not throw. */
  probe(): Promise<KamadoError | null>;
  /** What to do about it. */
  hint?(cause: KamadoError): string;
  /** Between two probes, at most. */
  longestPauseMs: number;
  clock: Clock;
  log: Log;
};

export class HealthCheck implements Health {
  readonly #options: HealthCheckOptions;
  readonly #stopping = new AbortController();
  #isHealthy = false;
  #answersSince = Number.NEGATIVE_INFINITY;
  #failedProbes = 0;
  #hasWarned = false;
  #cause: KamadoError | null = null;
  #probing: Promise<void> | undefined;
  #untilHealthy: Promise<void> | undefined;
  #waiters = 0;
  #nobodyWaits = new AbortController();
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

  /** It is known to have ended. It is probed from now on, whether anybody waits or not: how long it was away must be known. */
  lost(): void {
    this.#isHealthy = false;
    this.#losses += 1;
    void this.healthy(this.#stopping.signal);
  }

  /** When it began to answer, on the monotonic clock. */
  get answersSince(): number {
    return this.#answersSince;
  }

  /** Ends the probes for which nobody waits. */
  stop(): void {
    this.#stopping.abort();
  }

  async healthy(signal: AbortSignal): Promise<void> {
    this.#waiters += 1;
    while (!this.#isHealthy && !signal.aborted) {
      this.#untilHealthy ??= this.#keepProbing().finally(() => {
        this.#untilHealthy = undefined;
      });
      await unlessAborted(this.#untilHealthy, signal).catch(() => {});
    }
    this.#waiters -= 1;
    if (this.#waiters === 0) this.#nobodyWaits.abort();
  }

  /** One loop, however many wait: else their pauses would grow together. */
  async #keepProbing(): Promise<void> {
    const { clock, longestPauseMs } = this.#options;
    this.#nobodyWaits = new AbortController();
    while (!this.#nobodyWaits.signal.aborted) {
      await this.#probe();
      if (this.#isHealthy) return;
      const pause = backoffMs(this.#failedProbes, { baseMs: FIRST_PAUSE_MS, maxMs: longestPauseMs });
      await clock.sleep(pause, this.#nobodyWaits.signal);
    }
  }

  /** One at a time. */
  #probe(): Promise<void> {
    this.#probing ??= this.#probeNow().finally(() => {
      this.#probing = undefined;
    });
    return this.#probing;
  }

  async #probeNow(): Promise<void> {
    const { what, probe, clock, log } = this.#options;
    const [losses, wasHealthy] = [this.#losses, this.#isHealthy];
    this.#cause = await probe();
    this.#isHealthy = this.#cause === null && losses === this.#losses;
    if (this.#isHealthy && !wasHealthy) this.#answersSince = clock.now();
    if (this.#cause) return this.#failed(this.#cause);
    // Where nothing was said, nothing is to be taken back.
    if (this.#hasWarned)
      log.info({ stage: what }, `the ${what} ${what === "start check" ? "passes" : "answers"}`);
    this.#hasWarned = false;
    this.#failedProbes = 0;
  }

  #failed(cause: KamadoError): void {
    const { what, hint, log } = this.#options;
    this.#failedProbes += 1;
    const isLoading = cause.detail?.isLoading === true;
    // Once, and again when what only loaded is found to be down.
    if (this.#failedProbes < PROBES_BEFORE_WARNING || this.#hasWarned) return;
    if (cause.detail?.isLogged || (isLoading && this.#failedProbes > PROBES_BEFORE_WARNING)) return;
    const text = [`waiting for the ${what}; jobs stay in the queue: ${cause.message}`, hint?.(cause)];
    // A model that loads is part of every start.
    this.#hasWarned = !isLoading;
    const fields = { stage: what, ...(!isLoading && { code: cause.code }) };
    log[isLoading ? "info" : "warn"](fields, text.filter(Boolean).join(" "));
  }
}
