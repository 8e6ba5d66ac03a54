// How many jobs run at once and how many more are held: as configured, else as many as the engine says it has slots for;
// fewer while what the jobs need fails.

import type { ErrorCode } from "../errors.ts";
import type { Log } from "../logging/log.ts";

export type Wanted = { slots: number | undefined; prefetch: number | undefined };

/** An engine that does not say runs so many. */
const UNTOLD = 8;

export class ConcurrencyLimit {
  readonly #wanted: Wanted;
  readonly #log: Log;
  #told: number | undefined;
  #pressure = NO_PRESSURE;

  constructor(wanted: Wanted, log: Log) {
    this.#wanted = wanted;
    this.#log = log;
  }

  /** Another engine may answer later, or the same one with another model. */
  tell(engineSlots: number | undefined): void {
    this.#told = engineSlots ?? this.#told;
  }

  /** A run ended, with this error if it is to be tried again, while so many others ran. */
  ended(error: string | undefined, others: number): void {
    const before = this.slots;
    this.#pressure = afterEnd(this.#pressure, { isStrained: isStrain(error), others, slots: this.allSlots });
    if (this.slots === before) return;
    const entry = {
      stage: "pressure",
      slots: this.slots,
      of: this.allSlots,
      ...(error && { code: error }),
    };
    if (this.slots < before) this.#log.warn(entry, `fewer jobs at once: ${this.slots} of ${this.allSlots}`);
    else this.#log.info(entry, `more jobs at once: ${this.slots} of ${this.allSlots}`);
  }

  /** Without pressure. */
  get allSlots(): number {
    return this.#wanted.slots ?? this.#told ?? UNTOLD;
  }
  get slots(): number {
    return allowed(this.#pressure.limit, this.allSlots);
  }
  get prefetch(): number {
    return Math.min(
      this.#wanted.prefetch ?? this.slots,
      this.slots === this.allSlots ? Infinity : this.slots,
    );
  }
}

// Fewer jobs at once when what they need gives way, more when it holds again: additive increase, multiplicative decrease,
// as TCP does it. Pure; who counts and who obeys is concurrency.ts.
export type Pressure = {
  /** How many may run at once; null when there is no pressure. Grows by fractions. */
  limit: number | null;
  /** So many runs began before the last cut. Their ends say nothing about it. */
  settling: number;
};

/** How one run ended, with how many others still running, of how many slots in all. */
export type RunEnd = { isStrained: boolean; others: number; slots: number };

export const NO_PRESSURE: Pressure = { limit: null, settling: 0 };

/** What fails under load here and passes by. A destination's or a page's failure is its own: fewer slots would not mend it. */
const STRAIN: ReadonlySet<ErrorCode> = new Set([
  "engine_unavailable",
  "engine_died",
  "engine_busy",
  "storage_unavailable",
  "queue_unavailable",
]);

export const isStrain = (code: string | undefined) => STRAIN.has(code as ErrorCode);

/** Half of the slots after a strained end, one more after as many good ends as there are slots; never less than one. */
export function afterEnd({ limit, settling }: Pressure, { isStrained, others, slots }: RunEnd): Pressure {
  const now = allowed(limit, slots);
  if (settling > 0) return { limit, settling: settling - 1 };
  if (isStrained) return { limit: Math.max(1, now / 2), settling: others };
  if (limit === null) return NO_PRESSURE;
  const grown = Math.min(limit, slots) + 1 / now;
  return grown >= slots ? NO_PRESSURE : { limit: grown, settling: 0 };
}

/** How many of the slots may be used. A little is added, because thirds do not add up to one. */
export const allowed = (limit: number | null, slots: number) =>
  Math.max(1, Math.min(slots, Math.floor((limit ?? slots) + 1e-9)));
