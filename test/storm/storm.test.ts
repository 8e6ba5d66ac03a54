// The storm as it is called: a small one holds all promises, and none leaves anything running behind it.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const storms: ChildProcess[] = [];

function storm(...args: string[]): { child: ChildProcess; said: Promise<string> } {
  const child = spawn(process.execPath, [join(ROOT, "storm/storm.ts"), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  storms.push(child);
  const said = Promise.all([text(child.stdout!), text(child.stderr!)]).then((all) => all.join(""));
  return { child, said };
}
afterEach(() => {
  for (const child of storms.splice(0)) child.kill("SIGKILL");
});

/** Everything a process has started, and what that has started. */
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

test("sixty jobs and ten blows: each job has one end, nothing is lost, nothing is done twice", async () => {
  const { child, said } = storm("--jobs", "60", "--kills", "10", "--seed", "1588", "--seconds", "6");
  const [code] = await once(child, "exit");
  const words = await said;
  expect(words.trim().split("\n").at(-1)).toMatch(
    /^storm: 60 jobs, 60 final, 0 lost, 0 doubled, \d\.\d\d inferences per job$/,
  );
  expect(code, words).toBe(0);
}, 240_000);

test.each([
  ["SIGINT", 130],
  ["SIGKILL", null],
] as const)(
  "%s in the middle of it leaves no process behind",
  async (signal, expected) => {
    const calm = ["--workers", "2", "--jobs", "60", "--kills", "0", "--seed", "4", "--seconds", "60"];
    const { child, said } = storm(...calm);
    // AWS, the guardian, and two workers with their engines. Each look is a process too.
    const look = { timeout: 60_000, interval: 500 };
    await expect.poll(() => descendants(child.pid!).length, look).toBeGreaterThanOrEqual(6);
    const all = descendants(child.pid!);
    child.kill(signal);
    expect((await once(child, "exit"))[0]).toBe(expected);
    await expect.poll(() => all.filter(isAlive), { timeout: 40_000, interval: 500 }).toEqual([]);
    const [, folder] = /logs in (\S+)/.exec(await said)!;
    rmSync(folder!, { recursive: true });
  },
  150_000,
);

test("a flag that is wrong is named, and help is given", async () => {
  const wrong = storm("--jobs", "many");
  expect((await once(wrong.child, "exit"))[0]).toBe(2);
  expect(await wrong.said).toContain("--jobs: must be a whole number from 1 to 99999, not many.");
  expect(await storm("--help").said).toContain("npm run storm -- [--jobs 2000] [--kills 200] [--seed N]");
});
