// Watches one run of the engine for its supervisor: asks how it is until the run is over, and says when it hangs.
import { setTimeout as sleep } from "node:timers/promises";
import type { Health, State } from "../protocol.ts";

export type WatchTiming = {
  healthEveryMs: number;
  /** Without a good health answer for so long a ready engine counts as hung. */
  hungAfterMs: number;
  /** A model that takes longer to load counts as failed. */
  loadMs: number;
};

export type Seen = { url: string; isLoading: boolean; readySince: number | undefined };

/** Resolves with true once the run hangs, with false when it is over. `see` looks at it as it is now. */
export async function watch(
  see: () => Seen,
  onHealth: (state: State) => void,
  timing: WatchTiming,
  over: AbortSignal,
): Promise<boolean> {
  let goodAt = performance.now();
  while (await pause(timing.healthEveryMs, over)) {
    // A model may load for long, and some block the process meanwhile: nobody asks then.
    const { isLoading, url } = see();
    const health = isLoading ? undefined : await ask(url, timing.hungAfterMs, over);
    if (over.aborted) return false;
    if (health !== undefined) onHealth(health.state);
    if (health !== undefined && health.state !== "UNHEALTHY") goodAt = performance.now();
    const since = Math.max(goodAt, see().readySince ?? 0);
    if (performance.now() - since >= (isLoading ? timing.loadMs : timing.hungAfterMs)) return true;
  }
  return false;
}

async function ask(url: string, timeoutMs: number, over: AbortSignal): Promise<Health | undefined> {
  const signal = AbortSignal.any([over, AbortSignal.timeout(timeoutMs)]);
  try {
    return (await (await fetch(`${url}/health`, { signal })).json()) as Health;
  } catch {
    return undefined;
  }
}

/** False when the signal fired meanwhile. */
async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => {});
  return !signal.aborted;
}
