// A clock that a test controls: time passes only when `advance` is called.
import type { Clock } from "../../worker/async/clock.ts";

type Sleeper = { until: number; wake(): void };

/** Lets everything run that does not wait for time to pass. */
export const settled = () => new Promise<void>((resolve) => setImmediate(resolve));

export class FakeClock implements Clock {
  #now = 0;
  #sleepers: Sleeper[] = [];
  /** The wall clock at the beginning. Changing it later is like setting the machine's clock. */
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
      // Without this, a signal that is used for thousands of sleeps would keep all of them in memory.
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

  /** Lets time pass. Wakes each sleeper at its own moment and lets it act before the next one wakes. */
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

/** A clock on which nobody waits: each sleep is over at once, and as much time has passed. For tests with real connections. */
export class JumpingClock implements Clock {
  #now = 0;
  /** How long somebody slept, in ms. */
  readonly slept: number[] = [];

  now = () => this.#now;
  wall = () => Date.UTC(2026, 0, 1) + this.#now;

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return;
    this.slept.push(ms);
    this.#now += ms;
    await settled();
  }
}
