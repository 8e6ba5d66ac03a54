// Owns how many jobs run at once and how many messages a worker holds besides: as configured, or as many as the engine has slots.
// Fewer while what all jobs need fails under load: half after an overload, then one more after good runs, as TCP does it. One
// job that fails is no overload, however often it does: several must agree. Which queue gets a slot is left to
// weighted-slots.ts; pulling and running to consumer.ts.
import type { Clock } from "../async/clock.ts";
import type { ErrorCode } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import type { Slots } from "./weighted-slots.ts";

/** Slots when neither the configuration nor the engine says how many. */
export const DEFAULT_SLOTS = 8;

export class ConcurrencyLimit implements Slots {
  readonly #configured: { slots: number | undefined; prefetch: number | undefined };
  readonly #clock: Pick<Clock, "now">;
  readonly #log: Log;
  #engineSlots: number | undefined;
  #reduction = NO_REDUCTION;
  #recent: readonly Ended[] = [];

  constructor(
    configured: { slots: number | undefined; prefetch: number | undefined },
    { clock, log }: { clock: Pick<Clock, "now">; log: Log },
  ) {
    this.#configured = configured;
    this.#clock = clock;
    this.#log = log;
  }

  /** Called at each health check: another engine, or the same with another model, may have other slots. */
  setEngineSlots(slots: number | undefined): void {
    this.#engineSlots = slots ?? this.#engineSlots;
  }

  /** A run of this job ended, with this error if it had one, while so many others were running. */
  onEnded(job: string, error: ErrorCode | undefined, others: number): void {
    const before = this.slots;
    const ended = { job, isOverload: isOverloadError(error), at: this.#clock.now() };
    this.#recent = withEnd(this.#recent, ended);
    const isOverload = ended.isOverload && agree(this.#recent);
    this.#reduction = afterEnd(this.#reduction, { isOverload, others, slots: this.allSlots });
    if (this.slots === before) return;
    const entry = {
      stage: "concurrency",
      slots: this.slots,
      of: this.allSlots,
      ...(error && { code: error }),
    };
    if (this.slots < before) this.#log.warn(entry, `fewer jobs at once: ${this.slots} of ${this.allSlots}`);
    else this.#log.info(entry, `more jobs at once: ${this.slots} of ${this.allSlots}`);
  }

  /** Slots when nothing fails. */
  get allSlots(): number {
    return this.#configured.slots ?? this.#engineSlots ?? DEFAULT_SLOTS;
  }
  get slots(): number {
    return allowed(this.#reduction.limit, this.allSlots);
  }
  get prefetch(): number {
    const isReduced = this.slots < this.allSlots;
    return Math.min(this.#configured.prefetch ?? this.slots, isReduced ? this.slots : Infinity);
  }
}

/** How a job's last run ended. */
export type Ended = { job: string; isOverload: boolean; at: number };

const WINDOW_MS = 60_000;
/** More are not needed to tell an overload. */
const REMEMBERED = 64;

/** The jobs that ended lately, each with its last end. Pure. */
export const withEnd = (recent: readonly Ended[], ended: Ended): Ended[] =>
  [...recent.filter(({ job, at }) => job !== ended.job && ended.at - at < WINDOW_MS), ended].slice(
    -REMEMBERED,
  );

/** Whether several jobs, and as many as half of all, met an overload. Pure. */
export function agree(recent: readonly Ended[]): boolean {
  const overloaded = recent.filter(({ isOverload }) => isOverload).length;
  return overloaded > 1 && overloaded * 2 >= recent.length;
}

export type Reduction = {
  /** How many jobs may run at once; null when there is no reduction. Grows by fractions. */
  limit: number | null;
  /** Runs that began before the last cut and have not ended. Their ends say nothing about it. */
  settling: number;
};

/** How one run ended, with how many others still running, of how many slots in all. */
export type RunEnd = { isOverload: boolean; others: number; slots: number };

export const NO_REDUCTION: Reduction = { limit: null, settling: 0 };

/**
 * What fails here under load and recovers. The failure of a destination or a page is its own: fewer slots would not help. When
 * the engine dies, runner/quarantine.ts keeps the jobs apart that may have caused it.
 */
const OVERLOAD_ERRORS: ReadonlySet<ErrorCode | undefined> = new Set<ErrorCode>([
  "engine_unavailable",
  "engine_busy",
  "storage_unavailable",
  "queue_unavailable",
]);

export const isOverloadError = (code: ErrorCode | undefined) => OVERLOAD_ERRORS.has(code);

/** Half of the slots after an overload, one more after as many good ends as there are slots; never fewer than one. Pure. */
export function afterEnd({ limit, settling }: Reduction, { isOverload, others, slots }: RunEnd): Reduction {
  const now = allowed(limit, slots);
  if (settling > 0) return { limit, settling: settling - 1 };
  if (isOverload) return { limit: Math.max(1, now / 2), settling: others };
  if (limit === null) return NO_REDUCTION;
  const grown = Math.min(limit, slots) + 1 / now;
  return grown >= slots ? NO_REDUCTION : { limit: grown, settling: 0 };
}

/** How many of the slots may be used. A little is added, because three thirds do not add up to one. */
export const allowed = (limit: number | null, slots: number) =>
  Math.max(1, Math.min(slots, Math.floor((limit ?? slots) + 1e-9)));
