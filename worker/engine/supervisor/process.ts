// One run of the engine process: its flags, what it says and logs on a pipe of its own, and how to end it.
// Whether it should run again is the supervisor's business.
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { ErrorCode } from "../../errors.ts";
import type { BackendInfo } from "../generation/backend.ts";
import type { Health } from "../protocol.ts";

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

export type Environment = Record<string, string | undefined>;

export type EngineEvent =
  | { event: "listening"; url: string }
  | ({ event: "ready" } & Ready)
  | { event: "failed"; reason: string; code?: ErrorCode };
/** The last one: why it ends. */
type Said = EngineEvent | { event: "dying"; reason: string };

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
  /** `lastWords` are what it gave as its reason, or the end of what native code wrote to stderr. */
  onExit(how: string, lastWords: string): void;
};

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));
/** Where the engine speaks to whoever supervises it: one JSON line an event, or a line of its log. */
export const PIPE = 4;
const LAST_LINES = 5;
// Native libraries print whole prompts. Of what stands on stderr only lines of these kinds are kept, which say why it ended.
const LAST_WORDS = [/^\S+:\d+: GGML_(ASSERT|ABORT)\b/, /^(terminate called|libc\+\+abi|\s*what\(\):)/];
/** Before it is ready nobody has sent it a prompt yet. */
const FIRST_WORDS = [
  ...LAST_WORDS,
  /^--[a-z-]+: /,
  /^([A-Z]\w*)?Error\b/,
  /^(ggml|llama|clip|error|failed)\w*: .*(error|fail|unable|cannot|not found|out of memory)/i,
];

/** How long others may hold its pipes open when it has ended: what it says is over, and nobody waits for them. */
const HANG_UP_MS = 1_000;

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
  readonly #over = Promise.withResolvers<void>();

  /** `environment` is this process's own by default. */
  constructor(flags: EngineFlags, watcher: Watcher, environment?: Environment) {
    // The channel is there only so that the engine notices when this process dies. The pipe behind it is the engine's own:
    // on stdout and stderr native libraries print what they like, prompts included, and break any line in two.
    this.#process = spawn(process.execPath, [MAIN, ...argumentsOf(flags)], {
      stdio: ["ignore", "ignore", "pipe", "ipc", "pipe"],
      // Ctrl-C goes to a terminal's whole group; the engine is stopped by the worker, after its jobs.
      detached: true,
      ...(environment && { env: environment }),
    });
    let isReady = false;
    let why: string | undefined;
    const lastLines: string[] = [];
    // Where the system has no more pipes to give there are none, and it never runs.
    const eachLine = (number: number, hear: (line: string) => void) => {
      const stream = this.#process.stdio?.[number] as Readable | null | undefined;
      if (stream) createInterface(stream).on("line", hear);
    };
    eachLine(PIPE, (line) => {
      const event = eventOf(line);
      if (event === undefined) return watcher.onLog(line);
      isReady ||= event.event === "ready";
      if (event.event === "dying") why = event.reason;
      else watcher.onEvent(event);
    });
    eachLine(2, (line) => {
      if (!(isReady ? LAST_WORDS : FIRST_WORDS).some((kind) => kind.test(line))) return;
      lastLines.push(line);
      if (lastLines.length > LAST_LINES) lastLines.shift();
      if (!isReady) watcher.onLog(line);
    });
    let isOver = false;
    const end = (how: string, words: string) => {
      if (isOver) return;
      isOver = true;
      this.#over.resolve();
      watcher.onExit(how, words);
    };
    // One that runs has not ended because a signal could not be sent to it.
    this.#process.on("error", (error) => this.pid === undefined && end(error.message, ""));
    this.#process.once("exit", () => {
      const timer = setTimeout(() => this.#hangUp(), HANG_UP_MS);
      this.#process.once("close", () => clearTimeout(timer));
    });
    this.#process.once("close", (code, signal) => {
      // A prompt may look like last words, so they count only where an end has any.
      const words = !isReady || signal === "SIGABRT" ? lastLines.join("\n") : "";
      end(signal === null ? `exit code ${code}` : signal, why ?? words);
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
    await this.#over.promise;
    clearTimeout(timer);
  }

  #hangUp(): void {
    for (const stream of this.#process.stdio) stream?.destroy();
    if (this.#process.connected) this.#process.disconnect();
  }
}

function eventOf(line: string): Said | undefined {
  if (!line.startsWith('{"event":')) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
