// Runs a program that cannot outlive the bench, even when the bench is killed: a shell beside it waits until the bench's end of a
// pipe closes.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

const STOP_MS = 15_000;
const LAST_LINES = 20;
/** All output of the program goes here. Only the program has it open, so it closes when the program has ended. */
const OUTPUT = 3;
// Prints the program's process id, then reads until the pipe closes.
const GUARD = `"$@" </dev/null >&${OUTPUT} 2>&${OUTPUT} ${OUTPUT}>&- & pid=$!; exec ${OUTPUT}>&-; echo $pid; read -r _; kill -TERM $pid 2>/dev/null; wait $pid`;

export type Guarded = {
  pid: number;
  /** Resolves with its last output when it ends by itself. Never resolves after `stop`. */
  exited: Promise<string>;
  /** Waits until it has ended. May be called twice. */
  stop(): Promise<void>;
};

export async function startGuarded(
  program: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Guarded> {
  const shell = spawn("/bin/sh", ["-c", GUARD, "sh", program, ...args], {
    stdio: ["pipe", "pipe", "ignore", "pipe"],
    env: environment,
    // Ctrl-C reaches only the bench, which stops the program itself.
    detached: true,
  });
  const gone = once(shell, "exit");
  const output = createInterface(shell.stdio[OUTPUT] as Readable);
  const lines: string[] = [];
  output.on("line", (line) => void lines.splice(0, lines.push(line) - LAST_LINES));
  const over = once(output, "close");
  const firstLine = once(createInterface(shell.stdout!), "line") as Promise<[string]>;
  const early = gone.then(() => Promise.reject(new Error(`${program} could not be started.`)));
  const pid = Number((await Promise.race([firstLine, early]))[0]);
  let stopped: Promise<void> | undefined;
  const exited = Promise.withResolvers<string>();
  void over.then(() => stopped ?? exited.resolve(lines.join("\n")));
  return { pid, exited: exited.promise, stop: () => (stopped ??= stop(shell, gone, pid)) };
}

async function stop(shell: ChildProcess, gone: Promise<unknown>, pid: number): Promise<void> {
  const late = setTimeout(() => kill(pid), STOP_MS);
  shell.stdin!.end();
  await gone;
  clearTimeout(late);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended in the meantime.
  }
}
