// Measures again while the engine is idle what other work disturbed at its start: a few times, with longer and longer pauses, and never
// while a request waits for it. What is found is kept, for the next start. One measurement runs in a process of its own
// (measure-apart.ts), beside the model that serves, and ends at once when a request comes.
import { fork } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { guardChild } from "../../async/child-guard.ts";
import type { EngineOptions } from "../options.ts";
import { chooseWidth, type Measured } from "./choose.ts";
import { availableBytes } from "./memory-available.ts";

const MINUTE = 60_000;
/** Before each try. Whatever disturbed the first measurement may take a while. */
const PAUSES_MS = [1, 5, 30, 120, 480].map((minutes) => minutes * MINUTE);
/** So long no request must have come. */
const QUIET_MS = 30_000;

/** When requests come. */
export class Arrivals {
  #next = new AbortController();

  /** Called when a request comes, before anything else is done for it. */
  came(): void {
    this.#next.abort();
    this.#next = new AbortController();
  }

  /** Fires when the next request comes. */
  get next(): AbortSignal {
    return this.#next.signal;
  }
}

export type IdleCalibration = {
  arrivals: Arrivals;
  /** Whether a request is running or waiting. */
  isBusy(): boolean;
  /** Ends at once when the signal fires. */
  measure(signal: AbortSignal): Promise<Measured>;
  /** Fires when the engine stops. */
  stopping: AbortSignal;
  wait?: (ms: number, signal: AbortSignal) => Promise<unknown>;
  pausesMs?: readonly number[];
};

/** Resolves with the first steady measurement, or with nothing after the last try. */
export async function measureWhileIdle(options: IdleCalibration): Promise<Measured | undefined> {
  const { measure, stopping, wait = quietSleep, pausesMs = PAUSES_MS } = options;
  for (const pause of pausesMs) {
    await wait(pause, stopping);
    const request = await untilQuiet(options, wait);
    if (stopping.aborted) return undefined;
    const measured = await measure(AbortSignal.any([request, stopping])).catch(() => undefined);
    // What was interrupted counts for nothing, whatever it says of itself.
    if (request.aborted || stopping.aborted || !measured?.steady) continue;
    if (chooseWidth(measured) !== undefined) return measured;
  }
  return undefined;
}

/** Resolves when no request has come for a while and none runs, with the signal of the next. */
async function untilQuiet(
  { arrivals, isBusy, stopping }: IdleCalibration,
  wait: NonNullable<IdleCalibration["wait"]>,
): Promise<AbortSignal> {
  for (;;) {
    const { next } = arrivals;
    await wait(QUIET_MS, AbortSignal.any([next, stopping]));
    if (stopping.aborted || !(next.aborted || isBusy())) return next;
  }
}

const quietSleep = (ms: number, signal: AbortSignal) =>
  sleep(ms, undefined, { signal, ref: false }).catch(() => {});

const PROGRAM = fileURLToPath(new URL("./measure-apart.ts", import.meta.url));

/** Throws when the model cannot run a second time beside the one that needs `usedBytes`, and when the signal fires. */
export async function measureApart(
  options: EngineOptions,
  usedBytes: number | undefined,
  signal: AbortSignal,
): Promise<Measured> {
  signal.throwIfAborted();
  const memoryLimit = roomBeside(options, usedBytes);
  const child = fork(PROGRAM, { stdio: "ignore" });
  guardChild(child);
  const kill = () => void child.kill("SIGKILL");
  signal.addEventListener("abort", kill, { once: true });
  try {
    return await new Promise<Measured>((resolve, reject) => {
      child.once("message", (measured) => resolve(measured as Measured));
      child.once("error", reject);
      child.once("exit", () => reject(new Error("The measurement ended early.")));
      // Without the token, and without the prefixes that the engine keeps in its folder.
      child.send({ ...options, memoryLimit, token: undefined, dataDir: undefined }, () => {});
    });
  } finally {
    signal.removeEventListener("abort", kill);
    kill();
  }
}

/** Throws where it is not known: without it a second model could take the memory of the first. */
function roomBeside({ memoryLimit }: EngineOptions, usedBytes: number | undefined): number {
  if (usedBytes === undefined) throw new Error("The memory that the model needs is not known.");
  // macOS says how much there may be in all, Linux how much is left.
  const isTotal = memoryLimit !== undefined || process.platform === "darwin";
  return (memoryLimit ?? availableBytes()) - (isTotal ? usedBytes : 0);
}
