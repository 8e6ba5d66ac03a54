// A clock a test owns: nothing passes until `advance` is called.
import type { Clock } from "../../worker/async/clock.ts";

type Sleeper = { until: number; wake(): void };

/** Lets everything that can run without time passing run. */
export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

export class FakeClock implements Clock {
  #now = 0;
  #sleepers: Sleeper[] = [];
  /** What `wall` says at the beginning; setting it later is setting the machine's clock. */
  epoch = Date.UTC(2026, 0, 1);

  now(): number {
    return this.#now;
  }

  wall(): number {
    return this.epoch + this.#now;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted || ms <= 0) return Promise.resolve();
    return new Promise((resolve) => {
      // A signal that is slept with thousands of times must not keep every sleep.
      const onAbort = () => this.#wake(sleeper);
      const wake = () => {
        signal?.removeEventListener("abort", onAbort);
        resolve();
      };
      const sleeper: Sleeper = { until: this.#now + ms, wake };
      this.#sleepers.push(sleeper);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Lets so much time pass, waking each sleeper at its own moment and letting it act before the next. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settled();
    for (let next = this.#next(end); next; next = this.#next(end)) {
      this.#now = next.until;
      this.#wake(next);
      await settled();
    }
    this.#now = end;
    await settled();
  }

  #next(end: number): Sleeper | undefined {
    return this.#sleepers.filter(({ until }) => until <= end).toSorted((a, b) => a.until - b.until)[0];
  }

  #wake(sleeper: Sleeper): void {
    this.#sleepers = this.#sleepers.filter((one) => one !== sleeper);
    sleeper.wake();
  }
}
