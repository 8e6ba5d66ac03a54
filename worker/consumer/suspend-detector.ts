// Notices that this process was suspended. A machine that slept and a process that was stopped both go on as if nothing had
// happened, and other workers may have taken their messages meanwhile. What to do about it belongs to `onResume`.
import { type Clock, type Moment, momentOf } from "../async/clock.ts";

/** The clocks are looked at this often. */
const TICK_MS = 5_000;
/** A busy event loop may be this late. */
const LATE_MS = 2_500;

/**
 * Whether more time passed between two looks than can pass while awake. Some systems stop the monotonic clock while they
 * sleep: then the two clocks disagree. Others do not, and neither does a stopped process: then both say that the second look
 * came far too late.
 */
export function wasSuspended(before: Moment, after: Moment, everyMs: number): boolean {
  const [now, wall] = [after.now - before.now, after.wall - before.wall];
  return Math.abs(wall - now) > LATE_MS || Math.max(now, wall) > everyMs + LATE_MS;
}

export class SuspendDetector {
  readonly #clock: Clock;
  readonly #onResume: () => void;
  readonly #everyMs: number;
  #last: Moment;

  constructor(options: { clock: Clock; everyMs?: number; onResume(): void }) {
    this.#clock = options.clock;
    this.#onResume = options.onResume;
    this.#everyMs = Math.min(TICK_MS, options.everyMs ?? TICK_MS);
    this.#last = momentOf(this.#clock);
  }

  /** Calls `onResume` at once if the process was suspended. Also called before anything that a stale belief would make wrong. */
  check(): void {
    const before = this.#last;
    this.#last = momentOf(this.#clock);
    if (wasSuspended(before, this.#last, this.#everyMs)) this.#onResume();
  }

  async run(signal: AbortSignal): Promise<void> {
    this.#last = momentOf(this.#clock);
    while (!signal.aborted) {
      await this.#clock.sleep(this.#everyMs, signal);
      this.check();
    }
  }
}
