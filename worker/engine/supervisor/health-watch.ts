// Asks one run of the engine how it is until the run ends, and says when the engine hangs. The supervisor decides what
// follows from that.
import { setTimeout as sleep } from "node:timers/promises";
import type { Health, State } from "../protocol.ts";

export type WatchTiming = {
  healthEveryMs: number;
  /** A ready engine without a good health answer for so long counts as hung. */
  hungAfterMs: number;
  /** A model that takes longer to load counts as failed. */
  loadMs: number;
};

/** The run as its supervisor knows it. */
export type Run = { url: string; isLoading: boolean; readySince: number | undefined };

/** Resolves with true when the run hangs, with false when `ended` fires. */
export async function untilHung(
  current: () => Run,
  onHealth: (state: State) => void,
  timing: WatchTiming,
  ended: AbortSignal,
): Promise<boolean> {
  let goodAt = performance.now();
  while (await pause(timing.healthEveryMs, ended)) {
    // Loading can take long, and some libraries block the process meanwhile: nobody asks until it is over.
    const { isLoading, url } = current();
    const health = isLoading ? undefined : await ask(url, timing.hungAfterMs, ended);
    if (ended.aborted) return false;
    if (health !== undefined) onHealth(health.state);
    if (health !== undefined && health.state !== "UNHEALTHY") goodAt = performance.now();
    const since = Math.max(goodAt, current().readySince ?? 0);
    if (performance.now() - since >= (isLoading ? timing.loadMs : timing.hungAfterMs)) return true;
  }
  return false;
}

async function ask(url: string, timeoutMs: number, ended: AbortSignal): Promise<Health | undefined> {
  const signal = AbortSignal.any([ended, AbortSignal.timeout(timeoutMs)]);
  try {
    return (await (await fetch(`${url}/health`, { signal })).json()) as Health;
  } catch {
    return undefined;
  }
}

/** False when the signal fired during the pause. */
async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => {});
  return !signal.aborted;
}
