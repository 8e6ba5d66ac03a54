// How much energy jobs take: the machine's watts over the time in which a job runs, shared by the jobs that run at that time. The watts are
// those of GPU and CPU in all, so other programs are in it too. Read every few seconds while jobs run, and not at all where they cannot be
// read. Knows nothing of how a reading comes about.
import { unlessAborted } from "../async/abort.ts";
import type { Clock } from "../async/clock.ts";
import { RecentMap } from "../async/recent-map.ts";
import type { JobEvent } from "../logging/job-events.ts";

const SAMPLE_MS = 5_000;
/** Where no watts could be read, they are looked for again after this. */
const RETRY_MS = 600_000;
const REMEMBERED = 1_000;
/** Of a job's time, for which the watts must be known. */
const LEAST_KNOWN = 0.5;

type Use = { joules: number; knownMs: number; allMs: number };

export class JobEnergy {
  readonly #watts: () => Promise<number | undefined>;
  readonly #clock: Clock;
  readonly #running = new Map<string, Use>();
  readonly #ended = new RecentMap<string, Use>(REMEMBERED);
  readonly #stopping = new AbortController();
  #idle = new AbortController();
  #at = 0;
  #latest: number | undefined;
  #retryAt = Number.NEGATIVE_INFINITY;
  #sampling: Promise<void> | undefined;

  /** `watts`: as they are now; undefined where they cannot be read. */
  constructor({ watts, clock }: { watts: () => Promise<number | undefined>; clock: Clock }) {
    this.#watts = watts;
    this.#clock = clock;
  }

  /** A listener to job events. */
  onEvent({ stage, job }: Pick<JobEvent, "stage" | "job">): void {
    if (stage === "started") this.#begin(job);
    // What follows, its delivery, needs no model.
    if (stage === "stored" || stage === "ended") this.#end(job);
  }

  /** Of a job that runs or ended lately, its last run. Undefined where the watts were not known for most of it. */
  joulesOf(job: string): number | undefined {
    this.#advance();
    const { joules, knownMs, allMs } = this.#running.get(job) ?? this.#ended.get(job) ?? NOTHING;
    if (knownMs === 0 || knownMs < allMs * LEAST_KNOWN) return undefined;
    return Math.round(((joules * allMs) / knownMs) * 10) / 10;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#idle.abort();
    await this.#sampling;
  }

  #begin(job: string): void {
    this.#advance();
    this.#running.set(job, { ...NOTHING });
    this.#keepSampling();
  }

  #keepSampling(): void {
    if (this.#running.size === 0 || this.#stopping.signal.aborted) return;
    this.#sampling ??= this.#sample().finally(() => {
      this.#sampling = undefined;
      this.#latest = undefined;
      // A job may have begun meanwhile.
      this.#keepSampling();
    });
  }

  #end(job: string): void {
    const use = this.#running.get(job);
    if (!use) return;
    this.#advance();
    this.#running.delete(job);
    this.#ended.set(job, use);
    if (this.#running.size === 0) this.#idle.abort();
  }

  async #sample(): Promise<void> {
    while (this.#running.size > 0 && !this.#stopping.signal.aborted) {
      this.#idle = new AbortController();
      if (this.#clock.now() >= this.#retryAt) {
        const watts = await unlessAborted(this.#watts(), this.#stopping.signal).catch(() => undefined);
        this.#advance(watts);
        this.#latest = watts;
        if (watts === undefined) this.#retryAt = this.#clock.now() + RETRY_MS;
      }
      if (this.#running.size > 0) await this.#clock.sleep(SAMPLE_MS, this.#idle.signal);
    }
  }

  /** Adds what was used since the last call. Between two samples the watts are taken to be in the middle. */
  #advance(watts?: number): void {
    const now = this.#clock.now();
    const ms = now - this.#at;
    this.#at = now;
    const known = [this.#latest, watts].filter((one) => one !== undefined);
    const middle = known.reduce((sum, one) => sum + one, 0) / known.length;
    for (const use of this.#running.values()) {
      use.allMs += ms;
      if (known.length === 0) continue;
      use.knownMs += ms;
      use.joules += (middle * ms) / 1_000 / this.#running.size;
    }
  }
}

const NOTHING: Use = { joules: 0, knownMs: 0, allMs: 0 };
