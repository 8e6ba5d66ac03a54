// One run of the engine process: its flags, what it says on stdout, its log on stderr, and how to end it.
// Whether it should run again is the supervisor's business.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { ErrorCode } from "../errors.ts";
import type { BackendInfo } from "./backend.ts";
import type { Health } from "./health.ts";

export type EngineFlags = {
  model?: string | undefined;
  mmproj?: string | undefined;
  backend?: string | undefined;
  /** for the scripted backend: a file, or the JSON itself */
  script?: string | undefined;
  llamaServer?: string | undefined;
  host?: string | undefined;
  /** [4781]; 0 takes a free one, and restarts keep it */
  port?: number | undefined;
  /** ["auto"]: what the machine was measured to run best, kept in `dataDir` */
  slots?: number | "auto" | undefined;
  calibrate?: "auto" | "always" | undefined;
  dataDir?: string | undefined;
  memoryLimit?: string | undefined;
  contextSize?: number | undefined;
  threads?: number | undefined;
  maxQueue?: number | undefined;
  stallSeconds?: number | undefined;
  tokenFile?: string | undefined;
  logLevel?: string | undefined;
};

export type EngineEvent =
  | { event: "listening"; url: string }
  | ({ event: "ready" } & Ready)
  | { event: "failed"; reason: string; code?: ErrorCode };

/** What an engine that can serve says of itself. */
export type Ready = BackendInfo & {
  memory: Health["memory"];
  /** a table, when the slots were chosen by one */
  calibration?: string[];
};

export type Watcher = {
  onEvent(event: EngineEvent): void;
  /** A line of its log. */
  onLog(line: string): void;
  /** `lastWords` are the end of what it wrote to stderr. */
  onExit(how: string, lastWords: string): void;
};

const MAIN = fileURLToPath(new URL("./main.ts", import.meta.url));
const LAST_LINES = 5;
// Native libraries print whole prompts. Of what is not our own log only lines of these kinds are kept, which say why it ended.
const LAST_WORDS = [
  /^--[a-z-]+: /,
  /^Cannot listen /,
  /^([A-Z]\w*)?Error\b/,
  /GGML_ASSERT|GGML_ABORT/,
  /^(terminate called|libc\+\+abi|\s*what\(\):)/,
  /^(ggml|llama|clip|error|failed)\w*: .*(error|fail|unable|cannot|not found|out of memory)/i,
];

/** `contextSize` -> `--context-size`. */
export function argumentsOf(flags: EngineFlags): string[] {
  return Object.entries(flags)
    .filter(([, value]) => value !== undefined)
    .flatMap(([name, value]) => [
      `--${name.replaceAll(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`,
      String(value),
    ]);
}

export class EngineChild {
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;

  constructor(flags: EngineFlags, watcher: Watcher) {
    // The channel is there only so that the engine notices when this process dies.
    this.#process = spawn(process.execPath, [MAIN, ...argumentsOf(flags)], {
      stdio: ["ignore", "pipe", "pipe", "ipc"],
      // Ctrl-C goes to a terminal's whole group; the engine is stopped by the worker, after its jobs.
      detached: true,
    });
    this.#exited = once(this.#process, "close").catch(() => {});
    const lastLines: string[] = [];
    createInterface(this.#process.stdout!).on("line", (line) => {
      const event = eventOf(line);
      if (event) watcher.onEvent(event);
    });
    createInterface(this.#process.stderr!).on("line", (line) => {
      if (line.startsWith("{")) return watcher.onLog(line);
      if (!LAST_WORDS.some((kind) => kind.test(line))) return;
      lastLines.push(line);
      if (lastLines.length > LAST_LINES) lastLines.shift();
      watcher.onLog(line);
    });
    this.#process.once("error", (error) => watcher.onExit(error.message, ""));
    this.#process.once("close", (code, signal) => {
      watcher.onExit(signal === null ? `exit code ${code}` : signal, lastLines.join("\n"));
    });
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  /** Lets it finish what runs; after `patienceMs` it is killed. */
  async stop(patienceMs: number): Promise<void> {
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.kill(), patienceMs);
    await this.#exited;
    clearTimeout(timer);
  }
}

function eventOf(line: string): EngineEvent | undefined {
  if (!line.startsWith('{"event":')) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
