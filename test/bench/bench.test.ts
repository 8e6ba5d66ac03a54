// The bench as a command: a whole table from a process of its own, and what a wrong call gets.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "kamado-"));
afterAll(() => rmSync(folder, { recursive: true }));

type Ended = { code: number; stdout: string; stderr: string };
function run(...args: string[]): Promise<Ended> {
  const env = { PATH: process.env.PATH, HOME: folder, KAMADO_DATA_DIR: folder, NO_COLOR: "1" };
  return new Promise((ended) => {
    const child = execFile(process.execPath, args, { cwd: ROOT, env }, (_, stdout, stderr) => {
      ended({ code: child.exitCode ?? -1, stdout, stderr });
    });
  });
}

test("a table of our engine's memory ends with one JSON line, and every request was answered to the end", async () => {
  const { code, stdout } = await run("bench/bench.ts", "memory", "--requests", "40", "--json");
  expect(code).toBe(0);
  const figures = JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
  expect(figures).toMatchObject({ bench: "memory", requests: 40, model: { bytes: expect.any(Number) } });
  // Also the random model's answers are as long as was asked for: it cannot end them.
  for (const tenth of figures.tenths) expect(tenth).toMatchObject({ failures: 0, uneven: 0 });
  expect(figures.tenths).toHaveLength(10);
  expect(stdout).toContain("growth after the first tenth");
});

test("kamado bench is the same command", async () => {
  const { code, stdout } = await run(
    "worker/cli/start.mjs",
    "bench",
    "memory",
    "--backend",
    "scripted",
    "--requests",
    "20",
    "--json",
  );
  expect(code).toBe(0);
  expect(JSON.parse(stdout.trimEnd().split("\n").at(-1)!)).toMatchObject({
    backend: "scripted",
    requests: 20,
  });
});

test("a table that there is not is answered with those that there are", async () => {
  const { code, stderr } = await run("bench/bench.ts", "speed");
  expect(code).toBe(2);
  for (const name of ["engine", "concurrency", "end-to-end", "memory"])
    expect(stderr).toContain(`  ${name}: `);
});

test("a wrong flag is named", async () => {
  const { code, stderr } = await run("bench/bench.ts", "memory", "--requests", "none");
  expect(code).toBe(2);
  expect(stderr).toContain("--requests: must be a whole number from 1 on, not none.");
});
