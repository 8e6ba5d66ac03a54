// Makes sure that nothing a storm started outlives it, even when the storm itself is killed: a shell beside it knows the ids of
// the running processes and kills them when the storm's end of its pipe closes. A process ends its own children itself.
import { spawn } from "node:child_process";
import { once } from "node:events";

// Keeps a list of ids from its input. SIGKILL also ends a process that is paused.
const SCRIPT = `live=" "
while read -r what pid; do
  case $what in
    +) live="$live$pid " ;;
    -) live="\${live%% $pid *} \${live#* $pid }" ;;
  esac
done
for pid in $live; do kill -KILL $pid 2>/dev/null; done`;

export type Watchdog = {
  watch(pid: number): void;
  /** Call it when the process has ended: another process may soon get its id. */
  release(pid: number): void;
  /** Kills what is still being watched. */
  stop(): Promise<void>;
};

export function startWatchdog(): Watchdog {
  // A process group of its own: Ctrl-C must not end it before the others.
  const shell = spawn("/bin/sh", ["-c", SCRIPT], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  const ended = once(shell, "exit");
  return {
    watch: (pid) => void shell.stdin.write(`+ ${pid}\n`),
    release: (pid) => void shell.stdin.write(`- ${pid}\n`),
    async stop() {
      shell.stdin.end();
      await ended;
    },
  };
}
