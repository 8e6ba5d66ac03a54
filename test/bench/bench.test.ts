// The bench as a command: a whole table in a process of its own, and how wrong calls are refused.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { TABLES } from "../../bench/bench.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "kamado-"));
afterAll(() => rmSync(folder, { recursive: true }));

const { PATH, NODE_COMPILE_CACHE } = process.env;
const ENVIRONMENT = { PATH, NODE_COMPILE_CACHE, HOME: folder, KAMADO_DATA_DIR: folder, NO_COLOR: "1" };
type Ended = { code: number; stdout: string; stderr: string };
function run(...args: string[]): Promise<Ended> {
  return new Promise((ended) => {
    const child = execFile(process.execPath, args, { cwd: ROOT, env: ENVIRONMENT }, (_, stdout, stderr) => {
      ended({ code: child.exitCode ?? -1, stdout, stderr });
    });
  });
}

test("a table ends with one JSON line, and every request got a complete answer", async () => {
  const { code, stdout } = await run("bench/bench.ts", "memory", "--requests", "40", "--json");
  expect(code).toBe(0);
  const figures = JSON.parse(stdout.trimEnd().split("\n").at(-1)!);
  expect(figures).toMatchObject({ bench: "memory", requests: 40, model: { bytes: expect.any(Number) } });
  // The random model cannot end its answers early.
  for (const tenth of figures.tenths) expect(tenth).toMatchObject({ failures: 0, uneven: 0 });
  expect(figures.tenths).toHaveLength(10);
  expect(stdout).toContain("growth from request 8 to 40");
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

test("the error for an unknown table names all tables", async () => {
  const { code, stderr } = await run("bench/bench.ts", "speed");
  expect(code).toBe(2);
  for (const name of Object.keys(TABLES)) expect(stderr).toContain(`  ${name}: `);
});

test("--help shows a table's flags, and kamado bench names all tables", async () => {
  const { code, stdout } = await run("bench/bench.ts", "scale", "--help");
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^ {2}scale: .*\n {4}--workers .*--json\n$/)]);
  const throughKamado = await run("worker/cli/start.mjs", "bench", "scale", "--help");
  expect(throughKamado).toMatchObject({ code: 0, stdout });
  const help = await run("worker/cli/start.mjs", "help", "bench");
  for (const name of Object.keys(TABLES)) expect(help.stdout).toContain(name);
});

test("an interrupted table stops what it started, leaves no folder and exits with 130", async () => {
  const temporary = mkdtempSync(join(folder, "tmp-"));
  const child = spawn(process.execPath, ["bench/bench.ts", "soak"], {
    cwd: ROOT,
    env: { ...ENVIRONMENT, TMPDIR: temporary },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const ended = once(child, "close");
  while (readdirSync(temporary).length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  child.kill("SIGINT");
  expect(await ended).toEqual([130, null]);
  expect(readdirSync(temporary)).toEqual([]);
});

describe("docs/bench.md", async () => {
  const text = readFileSync(join(ROOT, "docs/bench.md"), "utf8");
  const sections = new Map(
    text.split(/^## /m).map((section) => [section.slice(0, section.indexOf("\n")), section]),
  );

  test.each(Object.entries(TABLES))("names all flags of %s and no others", async (name, load) => {
    const section = sections.get(name) ?? "";
    const call = /^npm run bench -- (.*(?:\n {4}.*)*)/m.exec(section)?.[1] ?? "";
    expect(call.split(/\s/)[0]).toBe(name);
    const flags = [...call.matchAll(/--([a-z-]+)/g)].map(([, flag]) => flag);
    expect(flags.toSorted()).toEqual(Object.keys((await load()).options).toSorted());
  });
});

test("a wrong flag is named", async () => {
  const { code, stderr } = await run("bench/bench.ts", "memory", "--requests", "none");
  expect(code).toBe(2);
  expect(stderr).toContain("--requests: must be a whole number from 1 on, not none.");
});
