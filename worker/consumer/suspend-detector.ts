// Whether this process was awake all the time. A machine that sleeps and a process that is stopped both come back as if
// nothing had been, and others may have taken their work meanwhile. What to do about it belongs to who is told.
import type { Clock } from "../async/clock.ts";

export type Moment = { now: number; wall: number };

export const momentOf = (clock: Clock): Moment => ({ now: clock.now(), wall: clock.wall() });

/** A look is taken this often. */
const TICK_MS = 5_000;
/** A busy event loop may be this late. */
const LATE_MS = 2_500;

/**
 * Whether more went by between two looks than can be while awake. Some systems stop the monotonic clock in their sleep:
 * then the clocks disagree. Others do not, nor does a stopped process: then both say that the look came far too late.
 */
export function hasSlept(before: Moment, after: Moment, everyMs: number): boolean {
  const [now, wall] = [after.now - before.now, after.wall - before.wall];
  return Math.abs(wall - now) > LATE_MS || Math.max(now, wall) > everyMs + LATE_MS;
}

export class SuspendDetector {
  readonly #clock: Clock;
  readonly #onWake: () => void;
  readonly #everyMs: number;
  #seen: Moment;

  constructor(options: { clock: Clock; everyMs?: number; onWake(): void }) {
    this.#clock = options.clock;
    this.#onWake = options.onWake;
    this.#everyMs = Math.min(TICK_MS, options.everyMs ?? TICK_MS);
    this.#seen = momentOf(this.#clock);
  }

  /** Tells of a sleep at once. Also to be called before anything that must not be done on an old belief. */
  look(): void {
    const before = this.#seen;
    this.#seen = momentOf(this.#clock);
    if (hasSlept(before, this.#seen, this.#everyMs)) this.#onWake();
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#seen = momentOf(this.#clock);
    while (!signal.aborted) {
      await this.#clock.sleep(this.#everyMs, signal);
      this.look();
    }
  }
}
