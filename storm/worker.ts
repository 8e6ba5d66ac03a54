// One worker that is struck: a real process with its engine, started again when it has ended, as launchd would. What it says is
// kept in a file.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { HOME } from "../worker/config.ts";
import type { Guardian } from "./guardian.ts";
import type { Blow } from "./plan.ts";

export type MemberOptions = {
  folder: string;
  guardian: Guardian;
  /** What each worker is told; `index` is its own. */
  variablesOf(index: number): Record<string, string>;
};

const RESTART_MS = 300;
const STOP_MS = 25_000;
/** Who ends by itself within so long has not started. */
const STILLBORN_MS = 5_000;

export class Member {
  starts = 0;
  stillborn = 0;
  readonly logFile: string;
  readonly #index: number;
  readonly #options: MemberOptions;
  readonly #frozen = new Set<NodeJS.Timeout>();
  #child: ChildProcess | undefined;
  /** Where in its log the present life, or its engine's, began. */
  #logFrom = 0;
  #stopping = false;
  #life: Promise<void>;

  constructor(index: number, options: MemberOptions) {
    this.#index = index;
    this.#options = options;
    this.logFile = join(options.folder, `worker-${index}.log`);
    this.#life = this.#live();
  }

  async #live(): Promise<void> {
    while (!this.#stopping) {
      const began = performance.now();
      const child = this.#start();
      const [code] = await once(child, "exit");
      this.stillborn = code > 0 && performance.now() - began < STILLBORN_MS ? this.stillborn + 1 : 0;
      this.#options.guardian.release(child.pid!);
      this.#child = undefined;
      if (!this.#stopping) await sleep(RESTART_MS);
    }
  }

  #start(): ChildProcess {
    const { folder, guardian, variablesOf } = this.#options;
    const log = openSync(this.logFile, "a");
    this.#logFrom = statSync(this.logFile).size;
    const child = spawn(process.execPath, [join(HOME, "worker/cli/start.mjs"), "worker"], {
      cwd: folder,
      env: { PATH: process.env.PATH, HOME: folder, ...variablesOf(this.#index) },
      stdio: ["ignore", log, log],
      // Ctrl-C is the storm's to pass on.
      detached: true,
    });
    closeSync(log);
    guardian.guard(child.pid!);
    this.starts++;
    this.#child = child;
    return child;
  }

  /** False when there is nobody to strike just now. */
  async suffer(blow: Blow): Promise<boolean> {
    const child = this.#child;
    if (!child?.pid || !(blow.early || this.#isAtWork())) return false;
    switch (blow.do) {
      case "kill":
        // Nobody strikes the dead.
        this.#child = undefined;
        return child.kill("SIGKILL");
      case "terminate":
        // One that is frozen would only hear of it when it wakes.
        return this.#frozen.size === 0 && child.kill("SIGTERM");
      case "freeze":
        return this.#freeze(child, blow.forMs);
      case "kill-engine":
        return this.#killEngineOf(child.pid);
    }
  }

  /** Its engine can serve, as its log says. */
  #isAtWork(): boolean {
    const log = readFileSync(this.logFile).subarray(this.#logFrom);
    return log.includes('"state":"READY"');
  }

  async #killEngineOf(worker: number): Promise<boolean> {
    const before = statSync(this.logFile).size;
    const isKilled = await killEngineOf(worker);
    if (isKilled) this.#logFrom = before;
    return isKilled;
  }

  #freeze(child: ChildProcess, forMs: number): boolean {
    if (this.#frozen.size > 0 || !child.kill("SIGSTOP")) return false;
    const timer = setTimeout(() => {
      this.#frozen.delete(timer);
      child.kill("SIGCONT");
    }, forMs);
    this.#frozen.add(timer);
    child.once("exit", () => this.#thaw(timer));
    return true;
  }

  #thaw(timer: NodeJS.Timeout): void {
    clearTimeout(timer);
    this.#frozen.delete(timer);
  }

  async stop(how: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#stopping = true;
    for (const timer of this.#frozen) this.#thaw(timer);
    const child = this.#child;
    const late = setTimeout(() => child?.kill("SIGKILL"), STOP_MS);
    child?.kill("SIGCONT");
    child?.kill(how);
    await this.#life;
    clearTimeout(late);
  }
}

/** The engine is a child of its worker. False when it has none just now. */
async function killEngineOf(worker: number): Promise<boolean> {
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=,ppid=,args="]);
  const engine = stdout
    .split("\n")
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line))
    .find((found) => Number(found?.[2]) === worker && found![3]!.includes("engine/main.ts"));
  return engine ? killed(Number(engine[1])) : false;
}

/** False when it was gone already. */
export function killed(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    return false;
  }
}
