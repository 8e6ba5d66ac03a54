// One worker that is struck: a real process with its engine, started again when it has ended, as launchd would. What it says is
// kept in a file.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HOME } from "../worker/config/config.ts";
import { type EngineBlow, strikeEngineOf } from "./engine-blows.ts";
import { Frost } from "./frost.ts";
import type { Guardian } from "./guardian.ts";
import type { Exit } from "./observed.ts";
import type { Blow } from "./plan.ts";

export type MemberOptions = {
  folder: string;
  guardian: Guardian;
  /** What each worker is told; `index` is its own. */
  variablesOf(index: number): Record<string, string>;
};

const RESTART_MS = 300;
/** Its drain with the last calls is 11 s at most, and its engine's end 15. */
const STOP_MS = 30_000;
/** Who ends by itself within so long has not started. */
const STILLBORN_MS = 5_000;

export class Member {
  starts = 0;
  stillborn = 0;
  /** How each of its lives ended. */
  readonly exits: Exit[] = [];
  readonly logFile: string;
  readonly #index: number;
  readonly #options: MemberOptions;
  /** The time that it or its engine lies frozen is not its own. */
  readonly #frost = new Frost(() => this.#patience?.refresh());
  #child: ChildProcess | undefined;
  /** What the present life was sent. */
  #sent = new Set<NodeJS.Signals>();
  /** Runs from SIGTERM on: who has not ended by then is killed. */
  #patience: NodeJS.Timeout | undefined;
  #isLate = false;
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
      const [code, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
      this.stillborn = (code ?? 0) > 0 && performance.now() - began < STILLBORN_MS ? this.stillborn + 1 : 0;
      this.#buried(child.pid!, code, signal);
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

  /** Notes how a life ended, and forgets what belonged to it. */
  #buried(pid: number, code: number | null, signal: NodeJS.Signals | null): void {
    this.exits.push({ worker: this.#index, code, signal, sent: [...this.#sent], isLate: this.#isLate });
    this.#options.guardian.release(pid);
    this.#frost.thaw(pid);
    clearTimeout(this.#patience);
    this.#child = this.#patience = undefined;
    this.#sent = new Set();
    this.#isLate = false;
  }

  /** False when there is nobody to strike just now. */
  async suffer(blow: Blow): Promise<boolean> {
    const child = this.#child;
    if (!child?.pid || !(blow.early || this.#isAtWork())) return false;
    switch (blow.do) {
      case "kill":
        // Nobody strikes the dead.
        this.#child = undefined;
        return this.#send(child, "SIGKILL");
      case "terminate":
        // One that is frozen would only hear of it when it wakes.
        return !this.#frost.has(child.pid) && this.#terminate(child);
      case "freeze":
        return this.#frost.freeze(child.pid, blow.forMs, (signal) => child.kill(signal));
      default:
        return this.#strikeEngineOf(child.pid, blow);
    }
  }

  /** Its engine can serve, as its log says. */
  #isAtWork(): boolean {
    const log = readFileSync(this.logFile).subarray(this.#logFrom);
    return log.includes('"state":"READY"');
  }

  #send(child: ChildProcess, signal: NodeJS.Signals): boolean {
    this.#sent.add(signal);
    return child.kill(signal);
  }

  #terminate(child: ChildProcess): boolean {
    this.#patience ??= setTimeout(() => {
      this.#isLate = true;
      this.#send(child, "SIGKILL");
    }, STOP_MS);
    return this.#send(child, "SIGTERM");
  }

  async #strikeEngineOf(worker: number, blow: EngineBlow): Promise<boolean> {
    const before = statSync(this.logFile).size;
    const { guardian } = this.#options;
    const isStruck = await strikeEngineOf(worker, blow, { frost: this.#frost, guardian });
    // One that comes after it is not at work yet.
    if (isStruck && blow.do !== "freeze-engine") this.#logFrom = before;
    return isStruck;
  }

  async stop(how: "SIGTERM" | "SIGKILL"): Promise<void> {
    this.#stopping = true;
    this.#frost.thawAll();
    const child = this.#child;
    if (child && how === "SIGTERM") this.#terminate(child);
    else if (child) this.#send(child, how);
    await this.#life;
    // An engine may have been frozen since, and outlived its worker.
    this.#frost.thawAll();
  }
}
