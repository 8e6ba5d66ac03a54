// A program that cannot outlive the bench, however that ends: a shell waits beside it for the bench's end of a pipe to close.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

const STOP_MS = 15_000;
const LAST_LINES = 20;
/** Only the program holds it, so that it closes when the program has ended. Whatever it prints goes there. */
const OUTPUT = 3;
// Says the program's id, then reads until the pipe closes.
const GUARD = `"$@" </dev/null >&${OUTPUT} 2>&${OUTPUT} ${OUTPUT}>&- & pid=$!; exec ${OUTPUT}>&-; echo $pid; read -r _; kill -TERM $pid 2>/dev/null; wait $pid`;

export type Guarded = {
  pid: number;
  /** Resolves with the end of what it wrote when it has ended without being asked to; never otherwise. */
  fell: Promise<string>;
  /** Waits; may be called twice. */
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
    // Ctrl-C reaches the bench alone, which stops the program in its own time.
    detached: true,
  });
  const gone = once(shell, "exit");
  const output = createInterface(shell.stdio[OUTPUT] as Readable);
  const lines: string[] = [];
  output.on("line", (line) => void lines.splice(0, lines.push(line) - LAST_LINES));
  const over = once(output, "close");
  const said = once(createInterface(shell.stdout!), "line") as Promise<[string]>;
  const early = gone.then(() => Promise.reject(new Error(`${program} could not be started.`)));
  const pid = Number((await Promise.race([said, early]))[0]);
  let stopped: Promise<void> | undefined;
  const fell = Promise.withResolvers<string>();
  void over.then(() => stopped ?? fell.resolve(lines.join("\n")));
  return { pid, fell: fell.promise, stop: () => (stopped ??= stop(shell, gone, pid)) };
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
    // It has just ended.
  }
}
