// The CPU time and memory that a process has used: from /proc on Linux, otherwise from ps.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { KamadoError } from "../worker/errors.ts";

// The unit of /proc on every Linux machine, whatever the kernel's own tick is.
const TICKS_PER_SECOND = 100;
const IS_LINUX = process.platform === "linux";

/** User and system time of all threads together. */
export function cpuSeconds(pid: number): number {
  return IS_LINUX ? statSeconds(proc(pid, "stat")) : clockSeconds(ps(pid, "cputime"));
}

/** The CPU time of the main thread, which runs all JavaScript of a Node process. Undefined where the system does not say. */
export function mainThreadSeconds(pid: number): number | undefined {
  return IS_LINUX ? statSeconds(proc(pid, `task/${pid}/stat`)) : undefined;
}

/** Resident memory in bytes. */
export function residentBytes(pid: number): number {
  if (!IS_LINUX) return Number(ps(pid, "rss")) * 1_024;
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(proc(pid, "status"))?.[1]) * 1_024;
}

/** Resident memory in bytes of a process and all its descendants. */
export function familyBytes(pid: number): number {
  return sumOfFamily(execFileSync("ps", ["-A", "-o", "pid=,ppid=,rss="], { encoding: "utf8" }), pid) * 1_024;
}

/** Reads lines of process id, parent's id and a number. Returns the sum of the number over a process and its descendants. */
export function sumOfFamily(text: string, pid: number): number {
  const all = text
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number));
  const of = (id: number): number => {
    const own = all.find(([one]) => one === id)?.[2] ?? 0;
    return all.filter(([, parent]) => parent === id).reduce((total, [child]) => total + of(child!), own);
  };
  return of(pid);
}

/** The child of a process that runs the program `name`. Undefined when there is none. */
export function childNamed(name: string, pid: number): number | undefined {
  return childIn(execFileSync("ps", ["-A", "-o", "pid=,ppid=,comm="], { encoding: "utf8" }), name, pid);
}

/** A descendant of a process that was started with `part` in its command line. Undefined when there is none. */
export function descendantWith(part: string, pid: number): number | undefined {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid=,args="], { encoding: "utf8" }).split("\n");
  const all = lines.map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line) ?? []);
  const below = (id: number): number | undefined => {
    const children = all.filter(([, , parent]) => Number(parent) === id);
    const found = children.find(([, , , args]) => args?.includes(part))?.[1];
    if (found !== undefined) return Number(found);
    return children.map(([, child]) => below(Number(child))).find((one) => one !== undefined);
  };
  return below(pid);
}

/** Reads lines of process id, parent's id and program. macOS prints the program's path, Linux the first 15 characters of its name. */
export function childIn(text: string, name: string, pid: number): number | undefined {
  for (const line of text.split("\n")) {
    const [, id, parent, program = ""] = /^\s*(\d+)\s+(\d+)\s+(.*?)\s*$/.exec(line) ?? [];
    if (Number(parent) === pid && [name, name.slice(0, 15)].includes(basename(program))) return Number(id);
  }
  return undefined;
}

/** Reads /proc/PID/stat. The name in parentheses may contain anything, so fields are counted from its end. */
export function statSeconds(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Reads a time as ps prints it: [[days-]hours:]minutes:seconds[.hundredths]. */
export function clockSeconds(text: string): number {
  const [, days = "0", clock = ""] = /^\s*(?:(\d+)-)?([\d:.]+)\s*$/.exec(text) ?? [];
  const seconds = clock.split(":").reduce((total, part) => total * 60 + Number(part), 0);
  return Number(days) * 86_400 + seconds;
}

const proc = (pid: number, file: string) => read(pid, () => readFileSync(`/proc/${pid}/${file}`, "utf8"));
const ps = (pid: number, column: string) =>
  read(pid, () => execFileSync("ps", ["-o", `${column}=`, "-p", String(pid)], { encoding: "utf8" }));

function read(pid: number, how: () => string): string {
  try {
    return how();
  } catch (cause) {
    throw new KamadoError("engine_unavailable", `Process ${pid} has ended while it was measured.`, { cause });
  }
}
