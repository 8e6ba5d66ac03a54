// The workers of a storm: real `kamado worker` processes with their engines. Injects faults into them, starts each again when it
// has ended, as launchd would, and records how each process ended. Which fault comes when is decided in plan.ts.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { HOME } from "../worker/config/config.ts";
import type { ProcessFault } from "./plan.ts";
import { ProcessPause } from "./process-pause.ts";
import type { Watchdog } from "./watchdog.ts";

export type WorkerOptions = {
  folder: string;
  watchdog: Watchdog;
  /** The environment variables of the worker with this index. */
  environmentOf(index: number): Record<string, string>;
};

/** How a worker process ended. */
export type Exit = {
  worker: number;
  code: number | null;
  signal: NodeJS.Signals | null;
  /** The signals that the storm had sent it. */
  sent: readonly NodeJS.Signals[];
  /** It had not ended in time after SIGTERM, and was killed. */
  isLate: boolean;
};

const RESTART_MS = 300;
/** Draining and the last calls take 11 s at most, ending the engine 15. */
const STOP_MS = 30_000;
/** A worker that fails within this time has not started. */
const START_MS = 5_000;
/** After this many failed starts in a row the storm gives up. */
const MOST_FAILED_STARTS = 4;
const RETRY_MS = 100;

export class Workers {
  readonly #workers: Worker[];

  constructor(options: WorkerOptions & { count: number }) {
    this.#workers = Array.from({ length: options.count }, (_, index) => new Worker(index, options));
  }

  /** Resolves when the fault has been injected. Where there is no process to hit yet, it waits for one. */
  async inject(fault: ProcessFault, over: AbortSignal): Promise<void> {
    const worker = this.#workers[fault.worker]!;
    while (!over.aborted && !(await worker.inject(fault))) await sleep(RETRY_MS);
  }

  /** How many worker processes were started. */
  get starts(): number {
    return this.#workers.reduce((sum, { starts }) => sum + starts, 0);
  }

  get exits(): Exit[] {
    return this.#workers.flatMap(({ exits }) => exits);
  }

  /** The log file of a worker that does not start, if there is one. */
  get failedStartLog(): string | undefined {
    return this.#workers.find((worker) => worker.failedStarts >= MOST_FAILED_STARTS)?.logFile;
  }

  /** A worker that does not end after SIGTERM is killed. May be called twice. */
  async stop(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.stop(signal)));
  }
}

class Worker {
  starts = 0;
  failedStarts = 0;
  readonly exits: Exit[] = [];
  readonly logFile: string;
  readonly #index: number;
  readonly #options: WorkerOptions;
  /** While the worker or its engine is paused, the time allowed for stopping does not run. */
  readonly #pause = new ProcessPause(() => this.#stopTimer?.refresh());
  #child: ChildProcess | undefined;
  /** The signals that the present process was sent. */
  #sent = new Set<NodeJS.Signals>();
  /** Runs from SIGTERM on and then kills the process. */
  #stopTimer: NodeJS.Timeout | undefined;
  #isLate = false;
  /** Where in the log file the output of the present worker and engine begins. */
  #logFrom = 0;
  #stopping = false;
  #ended: Promise<void>;

  constructor(index: number, options: WorkerOptions) {
    this.#index = index;
    this.#options = options;
    this.logFile = join(options.folder, `worker-${index}.log`);
    this.#ended = this.#keepRunning();
  }

  async #keepRunning(): Promise<void> {
    while (!this.#stopping) {
      const began = performance.now();
      const child = this.#start();
      const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
      const failed = (code ?? 0) > 0 && performance.now() - began < START_MS;
      this.failedStarts = failed ? this.failedStarts + 1 : 0;
      this.#recordExit(child.pid!, code, signal);
      if (!this.#stopping) await sleep(RESTART_MS);
    }
  }

  #start(): ChildProcess {
    const { folder, watchdog, environmentOf } = this.#options;
    const log = openSync(this.logFile, "a");
    this.#logFrom = statSync(this.logFile).size;
    const child = spawn(process.execPath, [join(HOME, "worker/cli/start.mjs"), "worker"], {
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder, ...environmentOf(this.#index) },
      stdio: ["ignore", log, log],
      // Ctrl-C reaches only the storm, which stops its workers itself.
      detached: true,
    });
    closeSync(log);
    watchdog.watch(child.pid!);
    this.starts++;
    this.#child = child;
    return child;
  }

  #recordExit(pid: number, code: number | null, signal: NodeJS.Signals | null): void {
    this.exits.push({ worker: this.#index, code, signal, sent: [...this.#sent], isLate: this.#isLate });
    this.#options.watchdog.release(pid);
    this.#pause.wake(pid);
    clearTimeout(this.#stopTimer);
    this.#child = this.#stopTimer = undefined;
    this.#sent = new Set();
    this.#isLate = false;
  }

  /** Returns false when there is no process that it can be injected into now. */
  async inject(fault: ProcessFault): Promise<boolean> {
    const child = this.#child;
    if (!child?.pid || !(fault.early || this.#isReady())) return false;
    switch (fault.do) {
      case "kill":
        // No further fault for this process.
        this.#child = undefined;
        return this.#send(child, "SIGKILL");
      case "terminate":
        // A paused process would receive it only when it wakes.
        return !this.#pause.isPaused(child.pid) && this.#terminate(child);
      case "pause":
        return this.#pause.pause(child.pid, fault.forMs, (signal) => child.kill(signal));
      default:
        return this.#injectIntoEngine(child.pid, fault);
    }
  }

  /** Its log says that the engine can serve. */
  #isReady(): boolean {
    const log = readFileSync(this.logFile).subarray(this.#logFrom);
    return /"stage":"engine",("restarts":\d+,)?"msg":"READY"/.test(log.toString());
  }

  #send(child: ChildProcess, signal: NodeJS.Signals): boolean {
    this.#sent.add(signal);
    return child.kill(signal);
  }

  #terminate(child: ChildProcess): boolean {
    this.#stopTimer ??= setTimeout(() => {
      this.#isLate = true;
      this.#send(child, "SIGKILL");
    }, STOP_MS);
    return this.#send(child, "SIGTERM");
  }

  async #injectIntoEngine(worker: number, fault: EngineFault): Promise<boolean> {
    const logSize = statSync(this.logFile).size;
    const isInjected = await injectIntoEngineOf(worker, fault, this.#pause, this.#options.watchdog);
    // The next engine has yet to say that it is ready.
    if (isInjected && fault.do !== "pause-engine") this.#logFrom = logSize;
    return isInjected;
  }

  async stop(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#stopping = true;
    this.#pause.wakeAll();
    const child = this.#child;
    if (child && signal === "SIGTERM") this.#terminate(child);
    else if (child) this.#send(child, signal);
    await this.#ended;
    // A fault that was still under way may have paused the engine since.
    this.#pause.wakeAll();
  }
}

type EngineFault = Extract<ProcessFault, { do: "kill-engine" | "terminate-engine" | "pause-engine" }>;

/** Returns false when the worker has no engine now. */
async function injectIntoEngineOf(
  worker: number,
  fault: EngineFault,
  pause: ProcessPause,
  watchdog: Watchdog,
): Promise<boolean> {
  const engine = await engineOf(worker);
  if (engine === null) return false;
  switch (fault.do) {
    case "kill-engine":
      return sendSignal(engine, "SIGKILL");
    case "terminate-engine":
      return !pause.isPaused(engine) && sendSignal(engine, "SIGTERM");
    case "pause-engine":
      return pause.pause(engine, fault.forMs, (signal) => {
        const isSent = sendSignal(engine, signal);
        // A paused engine does not notice that its worker has ended, so the watchdog must know it until it wakes.
        if (signal === "SIGCONT") watchdog.release(engine);
        else if (isSent) watchdog.watch(engine);
        return isSent;
      });
  }
}

/** The engine is a child process of its worker. */
async function engineOf(worker: number): Promise<number | null> {
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=,ppid=,args="]);
  const engine = stdout
    .split("\n")
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .find((found) => Number(found?.[2]) === worker && found![3]!.includes("engine/main.ts"));
  return engine ? Number(engine[1]) : null;
}

/** Returns false when the process has ended already. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
