// A program that cannot outlive the bench, however that ends: a shell waits beside it for the bench's end of a pipe to close.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

const STOP_MS = 15_000;
const LAST_LINES = 20;
// Says the program's id, then reads until the pipe closes. What the program writes goes where the shell's stderr goes.
const GUARD = '"$@" </dev/null >&2 & pid=$!; echo $pid; read -r _; kill -TERM $pid 2>/dev/null; wait $pid';

export type Guarded = {
  pid: number;
  /** Whether the program ended without being asked to. */
  hasEnded(): boolean;
  /** The end of what it wrote. */
  lastWords(): string;
  /** Waits; may be called twice. */
  stop(): Promise<void>;
};

export async function startGuarded(
  program: string,
  args: readonly string[],
  environment: NodeJS.ProcessEnv = process.env,
): Promise<Guarded> {
  const shell = spawn("/bin/sh", ["-c", GUARD, "sh", program, ...args], {
    stdio: ["pipe", "pipe", "pipe"],
    env: environment,
    // Ctrl-C reaches the bench alone, which stops the program in its own time.
    detached: true,
  });
  const lines: string[] = [];
  createInterface(shell.stderr!).on("line", (line) => void lines.splice(0, lines.push(line) - LAST_LINES));
  const [first] = (await once(createInterface(shell.stdout!), "line")) as [string];
  const pid = Number(first);
  let stopped: Promise<void> | undefined;
  return {
    pid,
    hasEnded: () => isGone(pid),
    lastWords: () => lines.join("\n"),
    stop: () => (stopped ??= stop(shell, pid)),
  };
}

async function stop(shell: ChildProcess, pid: number): Promise<void> {
  const ended = once(shell, "exit");
  const late = setTimeout(() => process.kill(pid, "SIGKILL"), STOP_MS);
  shell.stdin!.end();
  await ended;
  clearTimeout(late);
}

/** The shell has not collected it yet, so its id still stands for it: as a zombie. */
function isGone(pid: number): boolean {
  const { stdout } = spawnSync("ps", ["-o", "state=", "-p", String(pid)], { encoding: "utf8" });
  return stdout.trim() === "" || stdout.trim().startsWith("Z");
}
