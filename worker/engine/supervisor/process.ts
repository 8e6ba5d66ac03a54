// One run of the engine process: starts it, sends it its options, reads its events and its log, and ends it. Whether it
// runs again is the supervisor's decision.
import { type ChildProcess, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { guardChild } from "../../async/child-guard.ts";
import type { GivenOptions } from "../options.ts";
import { type EngineEvent, type LastEvent, PIPE } from "../protocol.ts";

export type Environment = Record<string, string | undefined>;

export type Watcher = {
  onEvent(event: EngineEvent): void;
  /** A line of its log. */
  onLog(line: string): void;
  /** `how` is the exit code or signal; `reason` what it gave as its reason, or the last error lines on its stderr. */
  onExit(how: string, reason: string): void;
};

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));
const STDERR = 2;
/** How many of its last error lines are kept. */
const LAST_LINES = 5;
// Native libraries print whole prompts to stderr. Only lines that say why a process ended are kept.
const ERROR_LINES = [/^\S+:\d+: GGML_(ASSERT|ABORT)\b/, /^(terminate called|libc\+\+abi|\s*what\(\):)/];
/** Before the engine is ready nobody has sent it a prompt, so more kinds of lines are safe to show. */
const STARTUP_ERROR_LINES = [
  ...ERROR_LINES,
  /^([A-Z]\w*)?Error\b/,
  /^(ggml|llama|clip|mtmd|error|failed)\w*: .*(error|fail|unable|cannot|not found|out of memory)/i,
];
/** With which node-llama-cpp prints its library's lines. */
const PREFIX = /^\[node-llama-cpp\] /;
/** How long to wait for the end of its output after it has ended: a process it left behind may hold the pipes open. */
const OUTPUT_END_MS = 1_000;

export class EngineProcess {
  readonly #process: ChildProcess;
  readonly #ended = Promise.withResolvers<void>();
  readonly #watcher: Watcher;
  readonly #errorLines: string[] = [];
  #isReady = false;
  #reason: string | undefined;
  #hasEnded = false;

  /** `environment` is this process's own by default. Throws when the system cannot start another process. */
  constructor(options: GivenOptions, watcher: Watcher, environment?: Environment) {
    this.#watcher = watcher;
    this.#process = spawn(process.execPath, [MAIN], {
      // IPC carries the options to the engine and closes when this process dies. Events and log lines have a pipe of
      // their own: native libraries print to stdout and stderr, prompts included, and may cut any line in two.
      stdio: ["ignore", "ignore", "pipe", "ipc", "pipe"],
      // Ctrl-C reaches every process of a terminal's group. The worker stops the engine itself, after its jobs.
      detached: true,
      ...(environment && { env: environment }),
    });
    guardChild(this.#process);
    // Not in arguments, environment or a file: others on this machine could read the token there. A send that fails needs
    // no handling, because the process has then ended, which is reported below.
    this.#process.send?.(options, () => {});
    this.#onLines(PIPE, (line) => this.#readOutput(line));
    this.#onLines(STDERR, (line) => this.#readStderr(line));
    this.#reportEnd();
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  /** Lets running requests finish; kills the process after `timeoutMs`. */
  async stop(timeoutMs: number): Promise<void> {
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.kill(), timeoutMs);
    await this.#ended.promise;
    clearTimeout(timer);
  }

  #onLines(descriptor: number, read: (line: string) => void): void {
    // The streams are missing when the system has no more pipes. Then the process never runs.
    const stream = this.#process.stdio?.[descriptor] as Readable | null | undefined;
    if (stream) splitLines(stream, read);
  }

  #readOutput(line: string): void {
    const event = eventOf(line);
    this.#isReady ||= event?.event === "ready";
    if (event === undefined) this.#watcher.onLog(line);
    else if (event.event === "dying") this.#reason = event.reason;
    else this.#watcher.onEvent(event);
  }

  #readStderr(printed: string): void {
    const line = printed.replace(PREFIX, "");
    const kinds = this.#isReady ? ERROR_LINES : STARTUP_ERROR_LINES;
    if (!kinds.some((kind) => kind.test(line))) return;
    this.#errorLines.push(line);
    if (this.#errorLines.length > LAST_LINES) this.#errorLines.shift();
    if (!this.#isReady) this.#watcher.onLog(line);
  }

  #reportEnd(): void {
    // This event also comes when a signal could not be sent. A process that has a pid was started and has not ended.
    this.#process.on("error", (error) => this.pid === undefined && this.#end(error.message, ""));
    this.#process.once("exit", () => {
      const timer = setTimeout(() => this.#closeStreams(), OUTPUT_END_MS);
      this.#process.once("close", () => clearTimeout(timer));
    });
    this.#process.once("close", (code, signal) => {
      // A prompt may look like an error line, so these count only where the process may have printed an error.
      const lines = !this.#isReady || signal === "SIGABRT" ? this.#errorLines.join("\n") : "";
      this.#end(signal === null ? `exit code ${code}` : signal, this.#reason ?? lines);
    });
  }

  #end(how: string, reason: string): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#ended.resolve();
    this.#watcher.onExit(how, reason);
  }

  #closeStreams(): void {
    for (const stream of this.#process.stdio) stream?.destroy();
    if (this.#process.connected) this.#process.disconnect();
  }
}

/** Node's readline would also end a line at U+2028 and U+2029, which may be part of the text in an event. */
function splitLines(stream: Readable, read: (line: string) => void): void {
  let rest = "";
  stream.setEncoding("utf8");
  stream.on("data", (text: string) => {
    const lines = (rest + text).split(/\r\n|[\r\n]/);
    rest = lines.pop()!;
    for (const line of lines) read(line);
  });
  stream.on("end", () => rest !== "" && read(rest));
}

function eventOf(line: string): EngineEvent | LastEvent | undefined {
  if (!line.startsWith('{"event":')) return undefined;
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
