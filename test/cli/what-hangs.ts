// What a command that does not end is waiting for, told while it still hangs: its processes and their threads as the kernel
// sees them, and what its engine says of itself. Linux only; elsewhere there is no such place to look.
import type { ChildProcess } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

const ANSWER_MS = 3_000;
/** As the kernel's tables write it. */
const LISTENING = "0A";

export async function whatHangs(child: ChildProcess): Promise<string> {
  if (process.platform !== "linux" || child.pid === undefined) return "(no /proc to look into)";
  const family = familyOf(child.pid);
  const engines = family.filter(({ command }) => command.includes("engine/main.ts"));
  const said = await Promise.all(engines.flatMap(({ pid }) => portsOf(pid)).map(engineAt));
  return [...family.map(({ pid, command }) => `${pid} ${command}\n${threadsOf(pid)}`), ...said].join("\n");
}

type Process = { pid: number; ppid: number; group: number; command: string };

/** Those of its group, and all that any of them has started. */
function familyOf(pid: number): Process[] {
  const all = numbersIn("/proc").flatMap(processAt);
  const found = new Set(all.filter((one) => one.pid === pid || one.group === pid));
  for (let before = -1; before < found.size; ) {
    before = found.size;
    const pids = new Set([...found].map((one) => one.pid));
    for (const one of all) if (pids.has(one.ppid)) found.add(one);
  }
  return [...found];
}

function processAt(pid: number): Process[] {
  // `pid (name) state ppid group …`; the name may hold anything, parentheses too.
  const stat = read(`/proc/${pid}/stat`);
  const [, ppid, group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const command = read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
  return stat === "" ? [] : [{ pid, ppid: Number(ppid), group: Number(group), command }];
}

/** A line for each thread: its name, its state, where in the kernel it waits, and the kernel's stack where that may be read. */
function threadsOf(pid: number): string {
  const lines = numbersIn(`/proc/${pid}/task`).map((thread) => {
    const at = `/proc/${pid}/task/${thread}`;
    const state = /^State:\s*(.*)$/m.exec(read(`${at}/status`))?.[1];
    const calls = [...read(`${at}/stack`).matchAll(/^\S+ (\w+)/gm)].map(([, call]) => call);
    return `  ${thread} ${read(`${at}/comm`)}: ${state}; in ${read(`${at}/wchan`)} < ${calls.slice(1).join(" < ")}`;
  });
  return lines.join("\n");
}

/** Where it listens: those of its sockets that the kernel's tables call listening. */
function portsOf(pid: number): number[] {
  const sockets = new Set(namesIn(`/proc/${pid}/fd`).map((fd) => linkAt(`/proc/${pid}/fd/${fd}`)));
  const rows = ["tcp", "tcp6"].flatMap((table) => read(`/proc/net/${table}`).split("\n").slice(1));
  return rows.flatMap((row) => {
    const [, local, , state, , , , , , inode] = row.trim().split(/\s+/);
    const isListening = state === LISTENING && sockets.has(`socket:[${inode}]`);
    return isListening ? [Number.parseInt(local!.split(":").at(-1)!, 16)] : [];
  });
}

async function engineAt(port: number): Promise<string> {
  const answers = ["health", "slots"].map(async (path) => {
    try {
      const signal = AbortSignal.timeout(ANSWER_MS);
      return `${path}: ${await (await fetch(`http://127.0.0.1:${port}/${path}`, { signal })).text()}`;
    } catch (thrown) {
      return `${path}: ${(thrown as Error).message}`;
    }
  });
  return `engine at ${port}: ${(await Promise.all(answers)).join("; ")}`;
}

const numbersIn = (folder: string) => namesIn(folder).map(Number).filter(Number.isInteger);

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function linkAt(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

/** What is gone by now, or not ours to read, is nothing. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
