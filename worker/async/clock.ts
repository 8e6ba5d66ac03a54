// Time as the worker sees it. Everything that waits or measures takes a Clock, so that tests can control it.
import { setTimeout as sleep } from "node:timers/promises";

export type Clock = {
  /** Monotonic milliseconds. It may stop while the machine sleeps. */
  now(): number;
  /** Epoch milliseconds. It goes on while the machine sleeps, and it jumps when the clock is set. */
  wall(): number;
  /** Resolves after `ms` milliseconds, or as soon as the signal fires. Never throws. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
};

export const systemClock: Clock = {
  now: () => performance.now(),
  wall: () => Date.now(),
  sleep: (ms, signal) => sleep(ms, undefined, signal ? { signal } : {}).catch(() => {}),
};

/** One moment on both clocks: a machine that slept can tell only by comparing them. */
export type Moment = { now: number; wall: number };

export const momentOf = (clock: Pick<Clock, "now" | "wall">): Moment => ({
  now: clock.now(),
  wall: clock.wall(),
});
