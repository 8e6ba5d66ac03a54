// The storm as a command: a small one finds nothing wrong, and none leaves a process behind.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, expect, test } from "vitest";
import { planOf } from "../../storm/plan.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const storms: ChildProcess[] = [];

function storm(...args: string[]): { child: ChildProcess; output: Promise<string> } {
  const child = spawn(process.execPath, [join(ROOT, "storm/storm.ts"), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  storms.push(child);
  const output = Promise.all([text(child.stdout!), text(child.stderr!)]).then((all) => all.join(""));
  return { child, output };
}
afterEach(() => {
  for (const child of storms.splice(0)) child.kill("SIGKILL");
});

/** The processes that a process has started, and those that they have started. */
function descendants(of: number): number[] {
  const lines = execFileSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" }).trim().split("\n");
  const all = lines.map((line) => line.trim().split(/\s+/).map(Number) as [number, number]);
  const below = (parent: number): number[] =>
    all.filter(([, ppid]) => ppid === parent).flatMap(([pid]) => [pid, ...below(pid)]);
  return below(of);
}
const isAlive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

test("a storm of every kind of fault: each job has one end, nothing is lost, nothing is done twice", async () => {
  // A seed found by search: its small plan has every fault of a process and fourteen of the fifteen shapes of jobs. Twelve seconds
  // spread the jobs so that few answers run when a fault comes, even on a busy machine: each of them is asked for again, and only a
  // few more answers than jobs are allowed.
  const plan = { seed: 30477, jobs: 36, kills: 7, workers: 2, seconds: 12 };
  const faults = planOf(plan).processFaults.map((fault) => fault.do);
  const every = ["kill", "kill-engine", "pause", "pause-engine", "terminate", "terminate-engine"];
  expect([...new Set(faults)].sort()).toEqual(every);
  const { child, output } = storm(
    ...Object.entries(plan).flatMap(([name, value]) => [`--${name}`, `${value}`]),
  );
  const [code] = await once(child, "exit");
  const printed = await output;
  expect(printed.trim().split("\n").at(-1)).toMatch(
    /^storm: 36 jobs, 36 final, 0 lost, 0 doubled, \d\.\d\d inferences per job$/,
  );
  expect(code, printed).toBe(0);
}, 240_000);

test.each([
  ["SIGINT", 130],
  ["SIGKILL", null],
] as const)(
  "%s in the middle leaves no process behind",
  async (signal, expected) => {
    const withoutFaults = [
      "--workers",
      "1",
      "--jobs",
      "60",
      "--kills",
      "0",
      "--seed",
      "4",
      "--seconds",
      "60",
    ];
    const { child, output } = storm(...withoutFaults);
    // AWS, the watchdog, and a worker with its engine.
    const look = { timeout: 60_000, interval: 500 };
    await expect.poll(() => descendants(child.pid!).length, look).toBeGreaterThanOrEqual(4);
    const all = descendants(child.pid!);
    child.kill(signal);
    expect((await once(child, "exit"))[0]).toBe(expected);
    await expect.poll(() => all.filter(isAlive), { timeout: 40_000, interval: 500 }).toEqual([]);
    const [, folder] = /logs in (\S+)/.exec(await output)!;
    rmSync(folder!, { recursive: true });
  },
  150_000,
);

test("a wrong flag is named, and --help prints the usage", async () => {
  const wrong = storm("--jobs", "many");
  expect((await once(wrong.child, "exit"))[0]).toBe(2);
  expect(await wrong.output).toContain("--jobs: must be a whole number from 1 to 99999, not many.");
  expect(await storm("--help").output).toContain("npm run storm -- [--jobs 2000] [--kills 200] [--seed N]");
});
