// The decoder processes of a process, as the system lists them.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

export function decoderPids(parent = process.pid): number[] {
  return execFileSync("ps", ["-axo", "pid=,ppid=,stat=,args="], { encoding: "utf8" })
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, of, state, ...args]) =>
        Number(of) === parent && !state?.startsWith("Z") && /decoder-main/.test(args.join()),
    )
    .map(([pid]) => Number(pid));
}

export const isRunning = (pid: number) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Why a test of memory or environment is skipped. */
export const NO_PROC =
  process.platform === "linux" ? null : "memory and environment of a process are read from /proc";

/** The most memory that a process has had, in bytes; undefined when it has ended. */
export function peakMemory(pid: number | "self"): number | undefined {
  try {
    const kilobytes = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}

/** How much more memory than at its beginning this process had at the most while the work ran. NaN where /proc is missing. */
export async function memoryOf(work: () => Promise<void>): Promise<number> {
  if (NO_PROC !== null) return work().then(() => Number.NaN);
  // Forgets the peak so far (proc_pid_clear_refs(5)).
  writeFileSync("/proc/self/clear_refs", "5");
  const before = peakMemory("self")!;
  await work();
  return peakMemory("self")! - before;
}
