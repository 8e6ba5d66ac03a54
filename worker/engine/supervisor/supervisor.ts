// Keeps one engine process running for the worker: starts it, starts it again on the same port when it ends or hangs, and
// gives up loudly when it never became ready.
import { setTimeout as sleep } from "node:timers/promises";
import { KamadoError } from "../../errors.ts";
import type { State } from "../scheduler/scheduler.ts";
import { type WatchTiming, watch } from "./health-watch.ts";
import {
  EngineChild,
  type EngineEvent,
  type EngineFlags,
  type Environment,
  type Ready,
  type Watcher,
} from "./process.ts";

/** What the engine process exits with when it cannot read its flags. */
const BAD_FLAGS = 2;

export type EngineState = State | "STOPPED";
export type SuperviseOptions = EngineFlags & {
  /** Lines of the engine's log, JSON as pino writes it, and what native libraries say. */
  onLog?: (line: string) => void;
  /** The engine process's; this one's own by default. */
  environment?: Environment;
  timing?: Partial<Timing>;
};
export type Timing = WatchTiming & {
  firstDelayMs: number;
  maxDelayMs: number;
  /** Starts without ever becoming ready until it is given up. */
  attempts: number;
  /** How long running requests may go on when it is stopped. */
  stopMs: number;
};
const TIMING: Timing = {
  healthEveryMs: 1_000,
  hungAfterMs: 20_000,
  loadMs: 900_000,
  firstDelayMs: 500,
  maxDelayMs: 30_000,
  attempts: 5,
  stopMs: 15_000,
};

export interface Engine {
  /** Empty until it listens for the first time, then always the same. */
  readonly url: string;
  readonly state: EngineState;
  /** Why it is not well, in the engine's own words. */
  readonly reason: string | undefined;
  readonly restarts: number;
  /** What it said when it was ready the last time. */
  readonly info: Ready | undefined;
  readonly pid: number | undefined;
  /** Resolves with its address once it listens, which is before its model is loaded; rejects as `ready` does. */
  listening(): Promise<string>;
  /** Resolves when it can serve; rejects when it was given up or stopped. */
  ready(): Promise<void>;
  /** Called with each new state; returns how to stop listening. */
  onChange(listener: (state: EngineState) => void): () => void;
  stop(): Promise<void>;
}

export function startEngine(options: SuperviseOptions): Engine {
  const { onLog = () => {}, environment, timing, ...flags } = options;
  return new Supervisor(flags, environment, onLog, { ...TIMING, ...timing });
}

/** Exponential, with jitter so that many workers do not start in step. `random` is 0..1. */
export function restartDelayMs(
  failures: number,
  { firstDelayMs, maxDelayMs }: Pick<Timing, "firstDelayMs" | "maxDelayMs">,
  random: number,
): number {
  return Math.round(Math.min(maxDelayMs, firstDelayMs * 2 ** (failures - 1)) * (0.5 + random / 2));
}

class Supervisor implements Engine {
  url = "";
  state: EngineState = "STARTING";
  reason: string | undefined;
  restarts = 0;
  info: Ready | undefined;
  readonly #flags: EngineFlags;
  readonly #environment: Environment | undefined;
  readonly #onLog: (line: string) => void;
  readonly #timing: Timing;
  readonly #listeners = new Set<(state: EngineState) => void>();
  readonly #cut = new AbortController();
  readonly #listening = Promise.withResolvers<string>();
  #child: EngineChild | undefined;
  #failures = 0;
  #readySince: number | undefined;
  #everReady = false;
  #toldWhy: string | undefined;
  #outOfMemory = false;
  #stopped: Promise<void> | undefined;

  constructor(
    flags: EngineFlags,
    environment: Environment | undefined,
    onLog: (line: string) => void,
    timing: Timing,
  ) {
    this.#flags = { ...flags };
    this.#environment = environment;
    this.#onLog = onLog;
    this.#timing = timing;
    this.#listening.promise.catch(() => {});
    this.#start();
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  listening(): Promise<string> {
    return this.#listening.promise;
  }

  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (state: EngineState) => {
        if (state === "READY" || state === "BUSY") resolve();
        else if (state === "SETUP_FAILED" || state === "STOPPED") reject(this.#gone());
        else return;
        forget();
      };
      const forget = this.onChange(settle);
      settle(this.state);
    });
  }

  onChange(listener: (state: EngineState) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#cut.abort();
    await this.#child?.stop(this.#timing.stopMs);
    this.#become("STOPPED");
  }

  #start(): void {
    const over = new AbortController();
    const watcher: Watcher = {
      onLog: this.#onLog,
      onEvent: (event) => this.#hear(event),
      onExit: (how, lastWords) => {
        over.abort();
        this.#child = undefined;
        void this.#ended(how, lastWords);
      },
    };
    this.#outOfMemory = false;
    try {
      const child = new EngineChild(this.#flags, watcher, this.#environment);
      this.#child = child;
      void this.#watch(child, AbortSignal.any([over.signal, this.#cut.signal]));
    } catch (thrown) {
      // The system has no room for another process just now.
      watcher.onExit((thrown as Error).message, "");
    }
  }

  #hear(event: EngineEvent): void {
    if (event.event === "listening") {
      this.url ||= event.url;
      this.#flags.port = Number(new URL(this.url).port);
      this.#listening.resolve(this.url);
    } else if (event.event === "ready") {
      const { event: _, ...info } = event;
      this.info = info;
      this.#everReady = true;
      // Whatever it measured anew, one that comes back need not measure again.
      delete this.#flags.calibrate;
      this.#readySince = performance.now();
      this.reason = undefined;
      this.#become("READY");
    } else {
      this.#toldWhy = event.reason;
      this.#outOfMemory = event.code === "memory_insufficient";
      this.#child?.kill();
    }
  }

  async #ended(how: string, lastWords: string): Promise<void> {
    if (this.#cut.signal.aborted) return;
    // A run that lasted counts as a fresh start; one that dies young does not, or it would be loaded over and over.
    const lasted = performance.now() - (this.#readySince ?? Infinity) > this.#timing.maxDelayMs;
    this.#failures = lasted ? 1 : this.#failures + 1;
    // Flags that are wrong stay wrong, and so does a model that is too large: no further try.
    const isMisled = how === `exit code ${BAD_FLAGS}` || this.#outOfMemory;
    this.reason = this.#toldWhy ?? [isMisled ? "" : how, lastWords].filter(Boolean).join(": ");
    this.#toldWhy = this.#readySince = undefined;
    this.#onLog(`The engine ended (${this.reason}).`);
    if (!this.#everReady && (isMisled || this.#failures >= this.#timing.attempts))
      return this.#become("SETUP_FAILED");
    this.#become("STARTING");
    const delay = restartDelayMs(this.#failures, this.#timing, Math.random());
    await sleep(delay, undefined, { signal: this.#cut.signal }).catch(() => {});
    if (this.#cut.signal.aborted) return;
    this.restarts++;
    this.#start();
  }

  async #watch(child: EngineChild, over: AbortSignal): Promise<void> {
    const seen = () => ({
      url: this.url,
      isLoading: this.state === "STARTING",
      readySince: this.#readySince,
    });
    if (!(await watch(seen, (state) => this.#become(state), this.#timing, over))) return;
    this.#onLog(`The engine does not answer; it is killed (pid ${child.pid}).`);
    child.kill();
  }

  #become(state: EngineState): void {
    if (this.state === state || this.state === "STOPPED") return;
    this.state = state;
    if (state === "SETUP_FAILED" || state === "STOPPED") this.#listening.reject(this.#gone());
    for (const listener of this.#listeners) listener(state);
  }

  #gone(): KamadoError {
    if (this.#outOfMemory) return new KamadoError("memory_insufficient", this.reason ?? "");
    const why = this.state === "STOPPED" ? "it was stopped" : this.reason;
    return new KamadoError("engine_unavailable", `The engine does not run: ${why}`);
  }
}
