// The commands with the demo model through real llama.cpp, as a new user runs them.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import sharp from "sharp";
import { expect, test } from "vitest";
import { drawLock } from "../../models/demo/data/locks.ts";
import { HELD_OUT } from "../../models/demo/data/random.ts";
import { kamado } from "./process.ts";

const README = resolve(import.meta.dirname, "../../README.md");

/** After this time the test reports what the command is waiting for. The test's own time limit decides when it has failed. */
const REPORT_MS = 60_000;

async function run(args: string[], input = ""): Promise<{ code: number; out: string; err: string }> {
  const child = kamado(args, {});
  child.stdin!.end(input);
  const output = { out: "", err: "" };
  child.stdout!.setEncoding("utf8").on("data", (more) => (output.out += more));
  child.stderr!.setEncoding("utf8").on("data", (more) => (output.err += more));
  const report = setTimeout(async () => {
    const state = await stateOf(child).catch(String);
    console.error(`kamado ${args.join(" ")} is still running.\n${output.out}\n${output.err}\n${state}`);
  }, REPORT_MS);
  try {
    const [code] = await once(child, "close");
    return { code, ...output };
  } finally {
    clearTimeout(report);
  }
}

test("npm run demo: every job is right and delivered, none is lost, and it prints what the README shows", async () => {
  const { code, out, err } = await run(["demo"]);
  expect(out + err).toMatch(/^demo: (\d+) jobs, \1 right, \1 delivered, 0 lost$/m);
  expect(code).toBe(0);
  // Times, probabilities and tokens may differ from machine to machine.
  const stable = (text: string) => text.replaceAll(/ *(\d+\.\d s|\d\.\d\d|\d+\+\d+)/g, "");
  const { groups } = /```text\n(?<shown>[^`]*)```/.exec(readFileSync(README, "utf8"))!;
  const shown = groups!.shown!.split("\n").filter((line) => line !== "");
  expect(shown.length).toBeGreaterThan(4);
  for (const line of shown) expect(stable(out + err)).toContain(stable(line));
}, 120_000);

test("run image.check says y or n, and the answer turns when the bar turns", async () => {
  const folder = await mkdtemp(join(tmpdir(), "kamado-run-"));
  const answers = [];
  for (const orientation of ["horizontal", "vertical"] as const) {
    const { rgb, width, height } = drawLock({ seed: HELD_OUT + 77, orientation, present: true, width: 200 });
    await sharp(rgb, { raw: { width, height, channels: 3 } })
      .png()
      .toFile(join(folder, `${orientation}.png`));
    const file = join(folder, "input.json");
    await writeFile(
      file,
      JSON.stringify({ image: `file:${orientation}.png`, question: "Is the door locked?" }),
    );
    const { code, out, err } = await run(["run", "image.check", "--input", file, "--json"]);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    answers.push(JSON.parse(out).output.answer);
  }
  expect(answers).toEqual(["y", "n"]);
}, 180_000);

test("run reads standard input, and reports a failed job with an exit code of its own", async () => {
  const { code, out } = await run(
    ["run", "image.check", "--input", "-", "--json"],
    '{"image": "data:text/plain;base64,aGVsbG8=", "question": "?"}',
  );
  expect(code).toBe(1);
  expect(JSON.parse(out)).toMatchObject({ status: "failed", error: { code: "image_undecodable" } });
}, 120_000);

test("input that is not JSON is a usage error", async () => {
  const { code, err } = await run(["run", "prompt", "--input", "-"], "hello");
  expect(code).toBe(2);
  expect(err).toContain("not JSON");
}, 120_000);

const ANSWER_MS = 3_000;
/** The state of a listening socket in /proc/net/tcp. */
const LISTENING = "0A";

/** What a command is waiting for: its processes and threads as the kernel sees them, and what its engine says. Linux only. */
async function stateOf(child: ChildProcess): Promise<string> {
  if (process.platform !== "linux" || child.pid === undefined) return "(there is no /proc)";
  const family = familyOf(child.pid);
  const engines = family.filter(({ command }) => command.includes("engine/main.ts"));
  const answers = await Promise.all(engines.flatMap(({ pid }) => portsOf(pid)).map(engineAt));
  return [...family.map(({ pid, command }) => `${pid} ${command}\n${threadsOf(pid)}`), ...answers].join("\n");
}

type Process = { pid: number; ppid: number; group: number; command: string };

/** The processes of its group and all their descendants. */
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
  // `pid (name) state ppid group …`. The name may contain anything, parentheses too.
  const stat = read(`/proc/${pid}/stat`);
  const [, ppid, group] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const command = read(`/proc/${pid}/cmdline`).replaceAll("\0", " ").trim();
  return stat === "" ? [] : [{ pid, ppid: Number(ppid), group: Number(group), command }];
}

/** A line for each thread: its name, its state, where it waits in the kernel, and the kernel's stack where it is readable. */
function threadsOf(pid: number): string {
  const lines = numbersIn(`/proc/${pid}/task`).map((thread) => {
    const at = `/proc/${pid}/task/${thread}`;
    const state = /^State:\s*(.*)$/m.exec(read(`${at}/status`))?.[1];
    const calls = [...read(`${at}/stack`).matchAll(/^\S+ (\w+)/gm)].map(([, call]) => call);
    return `  ${thread} ${read(`${at}/comm`)}: ${state}; in ${read(`${at}/wchan`)} < ${calls.slice(1).join(" < ")}`;
  });
  return lines.join("\n");
}

/** The ports on which a process listens. */
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
  const replies = ["health", "slots"].map(async (path) => {
    try {
      const signal = AbortSignal.timeout(ANSWER_MS);
      return `${path}: ${await (await fetch(`http://127.0.0.1:${port}/${path}`, { signal })).text()}`;
    } catch (thrown) {
      return `${path}: ${(thrown as Error).message}`;
    }
  });
  return `engine at ${port}: ${(await Promise.all(replies)).join("; ")}`;
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

/** Returns an empty text for a file that is gone or not readable. */
function read(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
