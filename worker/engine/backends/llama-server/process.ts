// Keeps one llama-server running: starts it, waits until it is ready, and starts it again when it ends. The requests it was
// answering fail; this process lives on.

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { KamadoError } from "../../../errors.ts";
import { loadFailure } from "../../load-failure.ts";
import { Client, connect, freePort, type Server, unavailable, wasNotReceived } from "./client.ts";

const CONNECT_EVERY_MS = 50;
/** The delay before each new start after it ended. When all these starts fail, it is given up. */
const DELAYS_MS = [0, 200, 400, 800, 1_600, 3_200];
const RESTARTING = "llama-server has ended and is being started again.";
/** How long a request waits for a new start before it fails. */
const RESTART_WAIT_MS = 5_000;

export type LlamaServerProcessOptions = ServerOptions & {
  command: string;
  log: LogLine;
  delaysMs?: readonly number[];
  /** Called with each new server before any request reaches it. */
  onStarted(server: Server): Promise<void>;
  /** Called when it cannot be started again. */
  onGone(error: KamadoError): void;
};

export class LlamaServerProcess {
  /** Holds its key and the saved prefixes. Only this user can read it. */
  readonly folder = mkdtempSync(join(tmpdir(), "kamado-llama-server-"));
  restarts = 0;
  readonly #options: LlamaServerProcessOptions;
  readonly #watcher = new Watcher(this.folder);
  readonly #key = randomBytes(32).toString("hex");
  readonly #keyFile = join(this.folder, "key");
  readonly #templateFile: string | undefined;
  #server: Server | undefined;
  #started = Promise.withResolvers<void>();
  #closed: Promise<void> | undefined;

  constructor(options: LlamaServerProcessOptions) {
    this.#options = options;
    writeFileSync(this.#keyFile, this.#key, { mode: 0o600 });
    if (options.template === undefined) return;
    this.#templateFile = join(this.folder, "chat-template");
    writeFileSync(this.#templateFile, options.template, { mode: 0o600 });
  }

  /** Resolves when it is ready; throws the reason when it cannot start. Called once. */
  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (thrown) {
      await this.close();
      throw thrown;
    }
  }

  /** Throws `engine_unavailable` while no server is running. */
  server(): Server {
    if (this.#server === undefined) throw unavailable(RESTARTING);
    return this.#server;
  }

  /** Runs `work` with the server. If the server ended before it received the request, runs it again with the next one. */
  async use<T>(work: (server: Server) => Promise<T>): Promise<T> {
    const server = await this.#runningServer();
    try {
      return await work(server);
    } catch (thrown) {
      if (!wasNotReceived(thrown)) throw thrown;
      // A connection notices the end sooner than the process's own event comes.
      if (!server.down.aborted)
        await once(server.down, "abort", { signal: AbortSignal.timeout(RESTART_WAIT_MS) });
      return work(await this.#runningServer());
    }
  }

  /** Waits a few seconds for a server that is being started. */
  async #runningServer(): Promise<Server> {
    if (this.#server === undefined && !this.#closed)
      await Promise.race([this.#started.promise, sleep(RESTART_WAIT_MS, undefined, { ref: false })]);
    return this.server();
  }

  close(): Promise<void> {
    this.#closed ??= this.#watcher.close().then(() => this.#server?.client.close());
    return this.#closed;
  }

  async #start(): Promise<void> {
    const { command, log } = this.#options;
    const port = await freePort();
    const files = { keyFile: this.#keyFile, templateFile: this.#templateFile };
    const address = { port, ...files, folder: this.folder };
    const run = new Run(command, argumentsFor(this.#options, address), this.#watcher, log);
    const server = await this.#untilReady(run, new Client(port, this.#key));
    run.ready();
    await this.#options.onStarted(server);
    if (run.down.aborted) throw run.failure;
    this.#server = server;
    this.#started.resolve();
    run.down.addEventListener("abort", () => void this.#restart(run), { once: true });
  }

  async #untilReady(run: Run, client: Client): Promise<Server> {
    for (;;) {
      if (run.down.aborted) throw run.failure;
      const server = await connect(client, run.down);
      if (server !== undefined) return server;
      await sleep(CONNECT_EVERY_MS);
    }
  }

  async #restart(run: Run): Promise<void> {
    this.#server?.client.close();
    this.#server = undefined;
    this.#started = Promise.withResolvers();
    if (this.#closed) return;
    let error = ended(run);
    this.#options.log(error.message, "warn");
    for (const delay of this.#options.delaysMs ?? DELAYS_MS) {
      await sleep(delay);
      if (this.#closed) return;
      this.restarts++;
      try {
        return await this.#start();
      } catch (thrown) {
        error = thrown as KamadoError;
        this.#options.log(error.message, "warn");
      }
    }
    this.#started.resolve();
    if (!this.#closed) this.#options.onGone(error);
  }
}

const ended = (run: Run) => unavailable(`llama-server ended (${run.reason}).`);

/** Reads process ids. When its standard input closes, it kills the last of them and removes the folder. */
const WATCH = `while read -r next; do pid=$next; done
[ -n "$pid" ] && kill -9 "$pid"
rm -rf -- "$0"`;

/**
 * A shell that ends llama-server and removes the private folder when this process has ended, even when it was killed: the shell's
 * standard input closes then.
 */
export class Watcher {
  readonly #process: ChildProcess;

  constructor(folder: string) {
    // In a process group of its own, so that Ctrl-C in the terminal does not reach it.
    this.#process = spawn("/bin/sh", ["-c", WATCH, folder], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    this.#process.stdin!.on("error", () => {});
    this.#process.once("error", () => {});
  }

  /** Sets the process to end; none when it is undefined. */
  watch(pid: number | undefined): void {
    this.#process.stdin!.write(`${pid ?? ""}\n`);
  }

  /** Ends the process and removes the folder. */
  async close(): Promise<void> {
    const gone = once(this.#process, "close");
    this.#process.stdin!.end();
    await gone;
  }
}

/** One run of llama-server: its process and the last lines it printed. */
export class Run {
  /** Fires when it has ended. The reason says how. */
  readonly down: AbortSignal;
  readonly #down = new AbortController();
  readonly #lines: string[] = [];
  #isReady = false;

  constructor(command: string, argv: readonly string[], watcher: Watcher, log: LogLine) {
    this.down = this.#down.signal;
    const child = spawn(command, argv, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    watcher.watch(child.pid);
    for (const stream of [child.stdout!, child.stderr!])
      createInterface(stream).on("line", (line) => this.#onLine(line, log));
    const end = (how: string) => {
      watcher.watch(undefined);
      this.#down.abort(how);
    };
    child.once("error", (error) => end(error.message));
    child.once("close", (code, signal) => end(signal ?? `exit code ${code}`));
  }

  /** From now on it gets requests, and what it prints may contain parts of them. Earlier lines explain no later end. */
  ready(): void {
    this.#isReady = true;
    this.#lines.length = 0;
  }

  /** How it ended, and the lines that say why. */
  get reason(): string {
    return [this.down.reason, reasonIn(this.#lines)].filter(Boolean).join(": ");
  }

  /** Why it never became ready. */
  get failure(): KamadoError {
    return loadFailure(String(this.down.reason), linesIn(this.#lines), ended(this).message);
  }

  #onLine(line: string, log: LogLine): void {
    const text = textOf(line);
    if (text === "" || (this.#isReady && !isSafe(text))) return;
    this.#lines.push(line);
    if (this.#lines.length > MAX_LINES) this.#lines.shift();
    log(text, levelOf(line));
  }
}

export type ServerOptions = {
  model: string;
  mmproj?: string | undefined;
  slots: number;
  /** of one slot, in tokens */
  contextSize: number;
  threads?: number | undefined;
  /** The chat template's source, in place of the one in the model's file. */
  template?: string | undefined;
};
/** What differs between runs. `folder` is private to this process. */
export type Address = {
  port: number;
  keyFile: string;
  templateFile?: string | undefined;
  folder: string;
};

/** For prompts that it keeps besides its slots. Its default would take half of a small machine's memory. */
const CACHE_MEGABYTES = 1_024;
const SPARE_THREADS = 8;
const STEP = 512;

export function argumentsFor(
  options: ServerOptions,
  { port, keyFile, templateFile, folder }: Address,
): string[] {
  const { model, mmproj, slots, contextSize, threads } = options;
  return [
    ["--model", model],
    mmproj === undefined ? [] : ["--mmproj", mmproj],
    ["--host", "127.0.0.1", "--port", String(port), "--api-key-file", keyFile],
    ["--parallel", String(slots), "--ctx-size", String(contextSize * slots)],
    // One for each answer that is streamed, and some for requests that are being prepared.
    ["--threads-http", String(slots + SPARE_THREADS)],
    threads === undefined ? [] : ["--threads", String(threads)],
    // Short steps, because between two it notices clients that went away and sends tokens. A picture must fit into one step.
    mmproj === undefined ? ["--batch-size", String(STEP)] : [],
    // A prompt that is too long is refused, and an answer ends at the end of the context: nothing is shifted out.
    ["--no-context-shift"],
    // Without it models with a sliding window could not reuse a prefix.
    ["--swa-full"],
    ["--cache-ram", String(CACHE_MEGABYTES)],
    ["--slot-save-path", `${folder}/`],
    // A conversation that ends with an assistant message is complete; the answer is a new message.
    ["--jinja", "--no-prefill-assistant"],
    templateFile === undefined ? [] : ["--chat-template-file", templateFile],
    ["--metrics", "--no-webui", "--offline"],
    // Errors and warnings only: a higher level would print prompts.
    ["--log-verbosity", "2", "--log-colors", "off"],
  ].flat();
}

/** Lines of these kinds contain nothing of a request. While it serves, it also prints grammars and parts of prompts. */
const SAFE = [
  /GGML_ASSERT|GGML_ABORT/,
  /^(terminate called|libc\+\+abi|\s*what\(\):)/,
  /^(ggml|llama|clip|mtmd)\w*: .*(error|fail|unable|cannot|not found|out of memory)/i,
  /^\s*decode: failed/,
];
const ERROR =
  /error|fail|unable|cannot|can't|could not|not found|unsupported|unknown|invalid|no such|out of memory|abort/i;
const LAST_LINES = 4;
const MAX_LINES = 50;

/** `0.00.013.017 E srv    load_model: why` -> `load_model: why`. */
export function textOf(line: string): string {
  return line.replace(/^[\d.]+ [EWID] (\w+ {2,})?/, "").trim();
}

export type Level = "debug" | "warn" | "error";
export type LogLine = (text: string, level: Level) => void;

/** Its warnings are mostly about how it was built, so they are logged as `debug`. */
export function levelOf(line: string): Level {
  return / E /.test(line.slice(0, 20)) ? "error" : / W /.test(line.slice(0, 20)) ? "debug" : "warn";
}

/** Whether a line may be logged that was printed while requests were served. */
export const isSafe = (text: string) => SAFE.some((kind) => kind.test(text));

/** Why it ended: its last lines about an error or, without any, just its last lines. */
export const reasonIn = (lines: readonly string[]): string => linesIn(lines).slice(-LAST_LINES).join("\n");

function linesIn(lines: readonly string[]): string[] {
  const texts = lines.map(textOf).filter(Boolean);
  const errors = texts.filter((line) => ERROR.test(line));
  return errors.length > 0 ? errors : texts;
}
