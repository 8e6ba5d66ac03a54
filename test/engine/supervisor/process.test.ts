// One run of the engine process: however it ends, and whoever holds on to what is left of it, its supervisor hears of it.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, expect, onTestFinished, test } from "vitest";
import {
  type Engine,
  type SuperviseOptions,
  startEngine,
} from "../../../worker/engine/supervisor/supervisor.ts";
import { until } from "../running.ts";

let engine: Engine | undefined;
const start = (more: SuperviseOptions = {}) => {
  const timing = { firstDelayMs: 20, healthEveryMs: 50, ...more.timing };
  engine = startEngine({ backend: "scripted", port: 0, ...more, timing });
  return engine;
};
afterEach(() => engine?.stop());

/** An engine that does this before anything else. */
function beginningWith(code: string): SuperviseOptions {
  const folder = mkdtempSync(join(tmpdir(), "kamado-child-"));
  const file = join(folder, "first.mjs");
  writeFileSync(file, code);
  return { environment: { ...process.env, NODE_OPTIONS: `--import=${file}` }, dataDir: folder };
}

test("an engine that left somebody behind who holds its pipes can be stopped, and ends when it is killed", async () => {
  const note = join(mkdtempSync(join(tmpdir(), "kamado-child-")), "left");
  const one = start(
    beginningWith(`
      import { spawn } from "node:child_process";
      import { appendFileSync } from "node:fs";
      const left = spawn("sleep", ["600"], { stdio: "inherit", detached: true });
      left.unref();
      appendFileSync(${JSON.stringify(note)}, left.pid + " ");
    `),
  );
  onTestFinished(() => {
    for (const pid of readFileSync(note, "utf8").trim().split(" ")) process.kill(Number(pid), "SIGKILL");
  });
  await one.ready();
  process.kill(one.pid!, "SIGKILL");
  await until(() => one.restarts === 1);
  await one.ready();
  await one.stop();
  expect(one.state).toBe("STOPPED");
}, 60_000);

test("a program that cannot be started is given up, and can be stopped", async () => {
  const { execPath } = process;
  onTestFinished(() => {
    process.execPath = execPath;
  });
  process.execPath = "/no/such/node";
  const one = start({ timing: { attempts: 2 } });
  await expect(one.listening()).rejects.toMatchObject({ code: "engine_unavailable" });
  await expect(one.ready()).rejects.toThrow(/ENOENT/);
  await one.stop();
});

test("flags that no process can be given are no crash", async () => {
  const one = start({ model: "a\0b", timing: { attempts: 2 } });
  await expect(one.ready()).rejects.toThrow(/null bytes/);
});

test("its address is known before its model is loaded, and both ends of waiting are told of a stop", async () => {
  const one = start({ script: '{"loadMs": 600000}' });
  expect(await one.listening()).toBe(one.url);
  const waiting = one.ready().catch((error: Error) => error.message);
  await one.stop();
  expect(await waiting).toContain("it was stopped");
  const never = start();
  const listening = never.listening().catch((error: Error) => error.message);
  await never.stop();
  expect(await listening).toContain("it was stopped");
}, 60_000);

test("a run that found no room says nothing about the next one", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-child-"));
  const full = join(folder, "full");
  const one = start(
    beginningWith(`
      import { existsSync, rmSync, writeSync } from "node:fs";
      const full = ${JSON.stringify(full)};
      if (existsSync(full)) {
        rmSync(full);
        writeSync(4, '{"event":"failed","code":"memory_insufficient","reason":"no room"}\\n');
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
      }
    `),
  );
  await one.ready();
  writeFileSync(full, "");
  process.kill(one.pid!, "SIGKILL");
  await until(() => one.restarts === 2);
  await one.ready();
  process.kill(one.pid!, "SIGKILL");
  await until(() => one.state === "STARTING");
  expect(one.reason).toBe("SIGKILL");
}, 60_000);
