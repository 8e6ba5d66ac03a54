// Nothing of a storm outlives it, however it ends: a shell beside it knows the programs that run, and kills them when the
// storm's end of its pipe closes. What a program has started itself ends with that program.
import { spawn } from "node:child_process";
import { once } from "node:events";

// A list of ids, kept by what it reads; what is stopped is killed as well.
const GUARD = `live=" "
while read -r what pid; do
  case $what in
    +) live="$live$pid " ;;
    -) live="\${live%% $pid *} \${live#* $pid }" ;;
  esac
done
for pid in $live; do kill -KILL $pid 2>/dev/null; done`;

export type Guardian = {
  guard(pid: number): void;
  /** It has ended: its id may soon be another's. */
  release(pid: number): void;
  /** Kills what is still guarded. */
  stop(): Promise<void>;
};

export function startGuardian(): Guardian {
  // A group of its own: Ctrl-C must not end it before the rest.
  const shell = spawn("/bin/sh", ["-c", GUARD], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  const ended = once(shell, "exit");
  return {
    guard: (pid) => void shell.stdin.write(`+ ${pid}\n`),
    release: (pid) => void shell.stdin.write(`- ${pid}\n`),
    async stop() {
      shell.stdin.end();
      await ended;
    },
  };
}
