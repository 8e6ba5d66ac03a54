// Keeps one llama-server running: starts it, waits until it serves, starts it again when it ends. Requests it had are lost,
// and say so; this process lives on.

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { KamadoError } from "../../../errors.ts";
import { Client, freePort, greet, isUnheard, type Server, unavailable } from "./client.ts";

const ASK_MS = 50;
/** Before each start after it ended; when all of these came to nothing it is given up. */
const DELAYS_MS = [0, 200, 400, 800, 1_600, 3_200];
const LOST = "llama-server has ended and is being started again.";
/** How long a request waits for it to be back before it is sent away. */
const PATIENCE_MS = 5_000;

export type LlamaServerProcessOptions = ServerOptions & {
  command: string;
  log: Say;
  delaysMs?: readonly number[];
  /** Called with each server before any request reaches it. */
  onUp(server: Server): Promise<void>;
  /** It cannot be brought back. */
  onGone(error: KamadoError): void;
};

export class LlamaServerProcess {
  /** Where it saves prefixes; nobody else may look into it. */
  readonly folder = mkdtempSync(join(tmpdir(), "kamado-llama-server-"));
  restarts = 0;
  readonly #options: LlamaServerProcessOptions;
  readonly #watcher = new Watcher(this.folder);
  readonly #key = randomBytes(32).toString("hex");
  readonly #keyFile = join(this.folder, "key");
  #server: Server | undefined;
  #up = Promise.withResolvers<void>();
  #closed: Promise<void> | undefined;

  constructor(options: LlamaServerProcessOptions) {
    this.#options = options;
    writeFileSync(this.#keyFile, this.#key, { mode: 0o600 });
  }

  /** Resolves when it serves; throws why it does not. Called once. */
  async start(): Promise<void> {
    try {
      await this.#start();
    } catch (thrown) {
      await this.close();
      throw thrown;
    }
  }

  /** Throws `engine_unavailable` while there is none. */
  server(): Server {
    if (this.#server === undefined) throw unavailable(LOST);
    return this.#server;
  }

  /** Does it with the server, and once more with the next one if this one turns out to have ended before it began. */
  async use<T>(work: (server: Server) => Promise<T>): Promise<T> {
    const server = await this.#soon();
    try {
      return await work(server);
    } catch (thrown) {
      if (!isUnheard(thrown)) throw thrown;
      // The connection tells it sooner than the process does.
      if (!server.down.aborted)
        await once(server.down, "abort", { signal: AbortSignal.timeout(PATIENCE_MS) });
      return work(await this.#soon());
    }
  }

  /** Waits for one that is being started, though not for long. */
  async #soon(): Promise<Server> {
    if (this.#server === undefined && !this.#closed)
      await Promise.race([this.#up.promise, sleep(PATIENCE_MS, undefined, { ref: false })]);
    return this.server();
  }

  close(): Promise<void> {
    this.#closed ??= this.#watcher.close().then(() => this.#server?.client.close());
    return this.#closed;
  }

  async #start(): Promise<void> {
    const { command, log } = this.#options;
    const port = await freePort();
    const address = { port, keyFile: this.#keyFile, folder: this.folder };
    const run = new Run(command, argumentsFor(this.#options, address), this.#watcher, log);
    const server = await this.#untilItServes(run, new Client(port, this.#key));
    run.serves();
    await this.#options.onUp(server);
    if (run.down.aborted) throw ended(run);
    this.#server = server;
    this.#up.resolve();
    run.down.addEventListener("abort", () => void this.#again(run), { once: true });
  }

  async #untilItServes(run: Run, client: Client): Promise<Server> {
    for (;;) {
      if (run.down.aborted) throw ended(run);
      const server = await greet(client, run.down);
      if (server !== undefined) return server;
      await sleep(ASK_MS);
    }
  }

  async #again(run: Run): Promise<void> {
    this.#server?.client.close();
    this.#server = undefined;
    this.#up = Promise.withResolvers();
    if (this.#closed) return;
    let why = ended(run);
    this.#options.log(why.message, "warn");
    for (const delay of this.#options.delaysMs ?? DELAYS_MS) {
      await sleep(delay);
      if (this.#closed) return;
      this.restarts++;
      try {
        return await this.#start();
      } catch (thrown) {
        why = thrown as KamadoError;
        this.#options.log(why.message, "warn");
      }
    }
    this.#up.resolve();
    if (!this.#closed) this.#options.onGone(why);
  }
}

const ended = (run: Run) => unavailable(`llama-server ended (${run.reason}).`);

// One run of llama-server: its process and its last words. A watcher beside it, a shell of three lines, ends it and clears
// the private folder away when this process is gone, however it went: its standard input closes then.
const WATCH = `while read -r next; do pid=$next; done
[ -n "$pid" ] && kill -9 "$pid"
rm -rf -- "$0"`;

export class Watcher {
  readonly #process: ChildProcess;

  constructor(folder: string) {
    // Out of the terminal's group: Ctrl-C is not for it.
    this.#process = spawn("/bin/sh", ["-c", WATCH, folder], {
      stdio: ["pipe", "ignore", "ignore"],
      detached: true,
    });
    this.#process.stdin!.on("error", () => {});
    this.#process.once("error", () => {});
  }

  /** Whom to end; nobody when it is undefined. */
  watch(pid: number | undefined): void {
    this.#process.stdin!.write(`${pid ?? ""}\n`);
  }

  /** Ends who is watched, and clears up. */
  async close(): Promise<void> {
    const gone = once(this.#process, "close");
    this.#process.stdin!.end();
    await gone;
  }
}

export class Run {
  /** Fires when it has ended, with how it did. */
  readonly down: AbortSignal;
  readonly #down = new AbortController();
  readonly #said: string[] = [];
  #serves = false;

  constructor(command: string, argv: readonly string[], watcher: Watcher, log: Say) {
    this.down = this.#down.signal;
    const child = spawn(command, argv, { stdio: ["ignore", "pipe", "pipe"], detached: true });
    watcher.watch(child.pid);
    for (const stream of [child.stdout!, child.stderr!])
      createInterface(stream).on("line", (line) => this.#hear(line, log));
    const end = (how: string) => {
      watcher.watch(undefined);
      this.#down.abort(how);
    };
    child.once("error", (error) => end(error.message));
    child.once("close", (code, signal) => end(signal ?? `exit code ${code}`));
  }

  /** From now on it hears of requests, and what it prints may hold pieces of them. What it said before is no reason any more. */
  serves(): void {
    this.#serves = true;
    this.#said.length = 0;
  }

  /** How it ended, and what it said about it. */
  get reason(): string {
    return [this.down.reason, reasonIn(this.#said)].filter(Boolean).join(": ");
  }

  #hear(line: string, log: Say): void {
    const words = wordsOf(line);
    if (words === "" || (this.#serves && !isSafe(words))) return;
    this.#said.push(line);
    if (this.#said.length > 50) this.#said.shift();
    log(words, levelOf(line));
  }
}

// How llama-server is started: its arguments, and what each is for. Pure.
export type ServerOptions = {
  model: string;
  mmproj?: string | undefined;
  slots: number;
  /** of one slot, in tokens */
  contextSize: number;
  threads?: number | undefined;
};
/** What differs from run to run. `folder` is private to this process. */
export type Address = { port: number; keyFile: string; folder: string };

// What it keeps of prompts besides its slots; its own default would take half of a small machine's memory.
const CACHE_MEGABYTES = 1_024;
const SPARE_THREADS = 8;
const STEP = 512;

export function argumentsFor(options: ServerOptions, { port, keyFile, folder }: Address): string[] {
  const { model, mmproj, slots, contextSize, threads } = options;
  return [
    ["--model", model],
    mmproj === undefined ? [] : ["--mmproj", mmproj],
    ["--host", "127.0.0.1", "--port", String(port), "--api-key-file", keyFile],
    ["--parallel", String(slots), "--ctx-size", String(contextSize * slots)],
    // One for each answer that is being given, and some for prompts that are being made ready.
    ["--threads-http", String(slots + SPARE_THREADS)],
    threads === undefined ? [] : ["--threads", String(threads)],
    // Between two steps it notices who went away, and others get their tokens. A picture must fit into one step.
    mmproj === undefined ? ["--batch-size", String(STEP)] : [],
    // An over-long prompt is refused, and an answer ends where the context does: nothing is shifted out.
    ["--no-context-shift"],
    // Models with a sliding window could not take up a shared prefix again without it.
    ["--swa-full"],
    ["--cache-ram", String(CACHE_MEGABYTES)],
    ["--slot-save-path", `${folder}/`],
    // A conversation that ends with an answer is complete: the next one begins after it.
    ["--jinja", "--no-prefill-assistant"],
    ["--metrics", "--no-webui", "--offline"],
    // Errors and warnings; more would print prompts.
    ["--log-verbosity", "2", "--log-colors", "off"],
  ].flat();
}

// What llama-server prints, and what of it may be passed on: it prints grammars and pieces of prompts too. Pure.
// Of what it prints while it serves, only lines of these kinds say nothing of a request.
const SAFE = [
  /GGML_ASSERT|GGML_ABORT/,
  /^(terminate called|libc\+\+abi|\s*what\(\):)/,
  /^(ggml|llama|clip|mtmd)\w*: .*(error|fail|unable|cannot|not found|out of memory)/i,
  /^\s*decode: failed/,
];
const TELLING =
  /error|fail|unable|cannot|can't|could not|not found|unsupported|unknown|invalid|no such|out of memory|abort/i;
const LAST_LINES = 4;

/** `0.00.013.017 E srv    load_model: why` -> `load_model: why`. */
export function wordsOf(line: string): string {
  return line.replace(/^[\d.]+ [EWID] (\w+ {2,})?/, "").trim();
}

export type Level = "debug" | "warn" | "error";
/** How what it says is passed on. */
export type Say = (words: string, level: Level) => void;

/** Its warnings tell how it was built more than what is wrong. */
export function levelOf(line: string): Level {
  return / E /.test(line.slice(0, 20)) ? "error" : / W /.test(line.slice(0, 20)) ? "debug" : "warn";
}

/** Whether a line that came while requests were served may be logged. */
export const isSafe = (words: string) => SAFE.some((kind) => kind.test(words));

/** The end of what it said before it served anything: the lines that tell why, or else just the last ones. */
export function reasonIn(lines: readonly string[]): string {
  const words = lines.map(wordsOf).filter(Boolean);
  const telling = words.filter((line) => TELLING.test(line));
  return (telling.length > 0 ? telling : words).slice(-LAST_LINES).join("\n");
}
