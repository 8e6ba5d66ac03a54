// How many jobs run at once and how many more are held: as configured, else as many as the engine says it has slots for;
// fewer while what the jobs need fails.
import type { Log } from "../log.ts";
import { afterEnd, allowed, isStrain, NO_PRESSURE } from "./pressure.ts";

export type Wanted = { slots: number | undefined; prefetch: number | undefined };

/** An engine that does not say runs so many. */
const UNTOLD = 8;

export class Capacity {
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
      station: "pressure",
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
