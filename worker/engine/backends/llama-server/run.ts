// One run of llama-server: its process and its last words. A watcher beside it, a shell of three lines, ends it and clears
// the private folder away when this process is gone, however it went: its standard input closes then.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { isSafe, levelOf, reasonIn, type Say, wordsOf } from "./said.ts";

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
