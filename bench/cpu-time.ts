// What a process has used: CPU seconds and memory, from /proc where there is one, else from ps.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { KamadoError } from "../worker/errors.ts";

// What Linux shows programs on every machine, whatever it ticks at inside.
const TICKS_PER_SECOND = 100;
const IS_LINUX = process.platform === "linux";

/** User and system time of all threads together. */
export function cpuSeconds(pid: number): number {
  return IS_LINUX ? statSeconds(readFileSync(`/proc/${pid}/stat`, "utf8")) : clockSeconds(ps(pid, "cputime"));
}

/** The part of it that the main thread used: in a Node process, all JavaScript. Undefined where it cannot be told. */
export function mainThreadSeconds(pid: number): number | undefined {
  return IS_LINUX ? statSeconds(readFileSync(`/proc/${pid}/task/${pid}/stat`, "utf8")) : undefined;
}

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  if (!IS_LINUX) return Number(ps(pid, "rss")) * 1_024;
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1_024;
}

/** The text of /proc/PID/stat. The name in parentheses may hold anything, so fields are counted from its end. */
export function statSeconds(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** What ps calls a time: [[days-]hours:]minutes:seconds[.hundredths]. */
export function clockSeconds(text: string): number {
  const [, days = "0", clock = ""] = /^\s*(?:(\d+)-)?([\d:.]+)\s*$/.exec(text) ?? [];
  const seconds = clock.split(":").reduce((total, part) => total * 60 + Number(part), 0);
  return Number(days) * 86_400 + seconds;
}

function ps(pid: number, column: string): string {
  try {
    return execFileSync("ps", ["-o", `${column}=`, "-p", String(pid)], { encoding: "utf8" });
  } catch (cause) {
    throw new KamadoError("engine_unavailable", `Process ${pid} has ended while it was measured.`, { cause });
  }
}
