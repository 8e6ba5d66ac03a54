// Keeps one engine process running for the worker: starts it, starts it again on the same port when it ends or hangs, and
// gives up when it never became ready. One run is process.ts, whether a run hangs is health-watch.ts.
import { setTimeout as sleep } from "node:timers/promises";
import { backoffMs } from "../../async/backoff.ts";
import { KamadoError, toKamadoError } from "../../errors.ts";
import { loadFailure } from "../load-failure.ts";
import type { GivenOptions } from "../options.ts";
import type { EngineEvent, Ready, State } from "../protocol.ts";
import { untilHung, type WatchTiming } from "./health-watch.ts";
import { EngineProcess, type Environment } from "./process.ts";

export type EngineState = State | "STOPPED";
export type SuperviseOptions = GivenOptions & {
  /** Lines of the engine's log, JSON as pino writes it, and error lines of native libraries. */
  onLog?: (line: string) => void;
  /** The engine process's; this process's own by default. */
  environment?: Environment | undefined;
  timing?: Partial<Timing>;
};
export type Timing = WatchTiming & {
  firstDelayMs: number;
  maxDelayMs: number;
  /** How many starts may fail before the engine is given up, when it was never ready. */
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
  /** Why its last run ended, while no other is ready. */
  readonly trouble: KamadoError | undefined;
  readonly restarts: number;
  /** What it said about itself when it was last ready. */
  readonly info: Ready | undefined;
  readonly pid: number | undefined;
  /** Resolves with its address once it listens, which is before its model is loaded; rejects as `ready` does. */
  listening(): Promise<string>;
  /** Resolves when it can serve; rejects when it is given up or stopped. */
  ready(): Promise<void>;
  /** Called with each new state; returns a function that removes the listener. A listener that throws disturbs nothing else. */
  onChange(listener: (state: EngineState) => void): () => void;
  /**
   * The last death is explained, and its cause is kept away: it is no failure of the engine, which starts again after the shortest
   * pause. Called at about the time of the death, before or after the supervisor hears of it.
   */
  restartSoon(): void;
  stop(): Promise<void>;
}

export function startEngine(options: SuperviseOptions): Engine {
  const { onLog = () => {}, environment, timing, ...given } = options;
  return new Supervisor(given, environment, onLog, { ...TIMING, ...timing });
}

class Supervisor implements Engine {
  url = "";
  state: EngineState = "STARTING";
  trouble: KamadoError | undefined;
  restarts = 0;
  info: Ready | undefined;
  readonly #options: GivenOptions;
  readonly #environment: Environment | undefined;
  readonly #onLog: (line: string) => void;
  readonly #timing: Timing;
  readonly #listeners = new Set<(state: EngineState) => void>();
  readonly #stopping = new AbortController();
  readonly #listening = Promise.withResolvers<string>();
  #process: EngineProcess | undefined;
  #failures = 0;
  #readySince: number | undefined;
  #everReady = false;
  /** What the run that is ending said of it. */
  #failure: KamadoError | undefined;
  #isExplained = false;
  #pause = new AbortController();
  #stopped: Promise<void> | undefined;

  constructor(
    options: GivenOptions,
    environment: Environment | undefined,
    onLog: (line: string) => void,
    timing: Timing,
  ) {
    this.#options = { ...options };
    this.#environment = environment;
    this.#onLog = onLog;
    this.#timing = timing;
    this.#listening.promise.catch(() => {});
    this.#start();
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  listening(): Promise<string> {
    return this.#listening.promise;
  }

  ready(): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (state: EngineState) => {
        if (state === "READY" || state === "BUSY") resolve();
        else if (state === "SETUP_FAILED" || state === "STOPPED") reject(this.#unavailable());
        else return;
        removeListener();
      };
      const removeListener = this.onChange(settle);
      settle(this.state);
    });
  }

  onChange(listener: (state: EngineState) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  restartSoon(): void {
    if (!this.#everReady) return;
    this.#isExplained = true;
    this.#pause.abort();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#stopping.abort();
    await this.#process?.stop(this.#timing.stopMs);
    this.#become("STOPPED");
  }

  #start(): void {
    const ended = new AbortController();
    const onExit = (how: string, reason: string) => {
      ended.abort();
      this.#process = undefined;
      void this.#onEnd(how, reason);
    };
    this.#isExplained = false;
    const watcher = { onLog: this.#onLog, onEvent: (event: EngineEvent) => this.#onEvent(event), onExit };
    try {
      this.#process = new EngineProcess(this.#options, watcher, this.#environment);
      void this.#killWhenHung(this.#process, AbortSignal.any([ended.signal, this.#stopping.signal]));
    } catch (thrown) {
      onExit((thrown as Error).message, "");
    }
  }

  #onEvent(event: EngineEvent): void {
    if (event.event === "listening") {
      this.url ||= event.url;
      this.#options.port = Number(new URL(this.url).port);
      this.#listening.resolve(this.url);
    } else if (event.event === "ready") {
      this.#onReady(event);
    } else {
      const { code, reason, hint } = event;
      this.#failure = new KamadoError(code, reason, hint === undefined ? {} : { hint });
      this.#process?.kill();
    }
  }

  #onReady({ event: _, ...info }: Ready & { event: "ready" }): void {
    this.info = info;
    this.#everReady = true;
    // One calibration is enough: a run after this one reads what was measured.
    delete this.#options.calibrate;
    this.#readySince = performance.now();
    this.trouble = undefined;
    this.#become("READY");
  }

  async #onEnd(how: string, reason: string): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    // After a run that lasted, the delays start again from the shortest. A run that ends soon counts as one more failure in a row, so that an
    // engine that loads and dies is not started over and over without a pause.
    const lasted = performance.now() - (this.#readySince ?? Infinity) > this.#timing.maxDelayMs;
    this.#failures = lasted ? 1 : this.#failures + 1;
    const wasReady = this.#readySince !== undefined;
    const lines = reason.split("\n").filter(Boolean);
    const trouble = wasReady ? (this.#failure ?? died(how, lines)) : troubleOf(this.#failure, how, lines);
    this.#failure = this.#readySince = undefined;
    const before = this.trouble?.message;
    this.trouble = trouble;
    // What the same options, or the same file, would meet again is not tried again. It may be put right for one that was ready before.
    if (!this.#everReady && (!trouble.retry || this.#failures >= this.#timing.attempts))
      return this.#become("SETUP_FAILED");
    this.#tell(wasReady, trouble.message === before ? undefined : trouble);
    this.#become("STARTING");
    if (!this.#isExplained) await this.#delay();
    if (this.#isExplained) await this.#shortDelay();
    if (this.#stopping.signal.aborted) return;
    this.restarts++;
    this.#start();
  }

  /** What is known already is not said at every try. */
  #tell(wasReady: boolean, trouble: KamadoError | undefined): void {
    const what = wasReady ? "The engine ended" : "The engine could not start";
    const why = trouble === undefined ? "as before" : `${trouble.code}: ${trouble.message}`;
    const tries = this.#everReady ? "" : `, try ${this.#failures} of ${this.#timing.attempts}`;
    this.#onLog([`${what} (${why}${tries}).`, trouble?.hint].filter(Boolean).join(" "));
  }

  /** Jitter keeps many workers from starting their engines in step. */
  #delay(): Promise<unknown> {
    const { firstDelayMs, maxDelayMs } = this.#timing;
    const ms = backoffMs(this.#failures, { baseMs: firstDelayMs, maxMs: maxDelayMs });
    this.#pause = new AbortController();
    const signal = AbortSignal.any([this.#stopping.signal, this.#pause.signal]);
    return sleep(ms, undefined, { signal }).catch(() => {});
  }

  #shortDelay(): Promise<unknown> {
    this.#failures = 1;
    const { signal } = this.#stopping;
    return sleep(this.#timing.firstDelayMs, undefined, { signal }).catch(() => {});
  }

  async #killWhenHung(run: EngineProcess, ended: AbortSignal): Promise<void> {
    const current = () => {
      return { url: this.url, isLoading: this.state === "STARTING", readySince: this.#readySince };
    };
    if (!(await untilHung(current, (state) => this.#become(state), this.#timing, ended))) return;
    this.#onLog(`The engine does not answer; it is killed (pid ${run.pid}).`);
    run.kill();
  }

  #become(state: EngineState): void {
    if (this.state === state || this.state === "STOPPED") return;
    this.state = state;
    if (state === "SETUP_FAILED" || state === "STOPPED") this.#listening.reject(this.#unavailable());
    for (const listener of this.#listeners) this.#call(listener, state);
  }

  #call(listener: (state: EngineState) => void, state: EngineState): void {
    try {
      listener(state);
    } catch (thrown) {
      this.#onLog(
        `A listener to the engine's state failed (${toKamadoError(thrown, "handler_failed").message}).`,
      );
    }
  }

  #unavailable(): KamadoError {
    const { trouble } = this;
    if (this.state === "STOPPED" || trouble === undefined)
      return new KamadoError("engine_unavailable", "The engine does not run: it was stopped");
    if (trouble.code !== "engine_unavailable") return trouble;
    const { code, message, hint } = trouble;
    return new KamadoError(code, `The engine does not run: ${message}`, { hint });
  }
}

const died = (how: string, lines: readonly string[]) =>
  new KamadoError("engine_unavailable", [how, ...lines].join(": "));

/** Why a run never became ready. A library may have printed more of it than the engine could say. */
function troubleOf(told: KamadoError | undefined, how: string, lines: readonly string[]): KamadoError {
  if (told && (told.code !== "engine_unavailable" || lines.length === 0)) return told;
  return loadFailure(told?.message ?? how, lines);
}
