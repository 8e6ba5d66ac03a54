// Ends a child process when this process has ended, however it ended and whatever the child is doing. A child can notice that its parent
// is gone, but not while its own code hangs or runs without a pause; a shell beside it can.
import { type ChildProcess, spawn } from "node:child_process";

/** Reads a line, which says that the child has ended. If its input closes without one, this process has ended. */
const GUARD = 'read -r _ || kill -9 "$0"';

/** To be called right after the child is started, with a process that has an id. */
export function guardChild(child: ChildProcess): void {
  if (child.pid === undefined) return;
  const guard = spawn("/bin/sh", ["-c", GUARD, String(child.pid)], {
    stdio: ["pipe", "ignore", "ignore"],
    env: {},
    // Ctrl-C reaches every process of a terminal's group.
    detached: true,
  });
  // Where no shell can be started, the child has to notice by itself.
  guard.on("error", () => {});
  guard.stdin.on("error", () => {});
  // It does not keep this process alive.
  guard.unref();
  (guard.stdin as typeof guard.stdin & { unref(): void }).unref();
  child.once("exit", () => guard.stdin.end("ended\n"));
}
