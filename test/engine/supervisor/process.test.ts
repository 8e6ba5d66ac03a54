// One run of the engine process: its options reach it, and its supervisor learns of its end, however it ends and whoever
// holds on to what is left of it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import type { GivenOptions } from "../../../worker/engine/options.ts";
import { EngineProcess } from "../../../worker/engine/supervisor/process.ts";
import {
  type Engine,
  type SuperviseOptions,
  startEngine,
} from "../../../worker/engine/supervisor/supervisor.ts";
import { printable } from "../../../worker/printable.ts";
import fc from "../../properties.ts";
import { until } from "../running.ts";
import { rawRequest } from "../server/raw-request.ts";

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

test("an engine that left a process behind that holds its pipes can be stopped, and ends when it is killed", async () => {
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

test.each([
  [
    "[node-llama-cpp] llama_model_load: error loading model: unknown model architecture: 'new'",
    "KAMADO_MODEL: ",
  ],
  [
    "mtmd_init_from_file: error: mismatch between text model (n_embd = 64) and mmproj (n_embd = 128)",
    "KAMADO_MMPROJ: ",
  ],
])(
  "a library that prints that it refuses the file and crashes is not started again: %s",
  async (line, setting) => {
    const crash = `
    import { writeSync } from "node:fs";
    writeSync(2, ${JSON.stringify(`${line}\n`)});
    process.kill(process.pid, "SIGSEGV");
  `;
    const one = start(beginningWith(crash));
    await expect(one.ready()).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringContaining(setting),
    });
    expect(one.restarts).toBe(0);
  },
  60_000,
);

test("an environment that no process can be given is no crash", async () => {
  const one = start({ environment: { NAME: "a\0b" }, timing: { attempts: 2 } });
  await expect(one.ready()).rejects.toThrow(/null bytes/);
});

test("its address is known before its model is loaded, and a stop ends both waits", async () => {
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

test("a run that found too little memory says nothing about the next one", async () => {
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
  expect(one.trouble?.message).toBe("SIGKILL");
}, 60_000);

test("an error with line separators of Unicode in it arrives whole, as an event and in the log", async () => {
  const reason = "the model\u2028is\u2029broken\r\nhere";
  const lines: string[] = [];
  const one = start({
    script: JSON.stringify({ loadFails: reason }),
    onLog: (line) => lines.push(line),
    timing: { attempts: 1 },
  });
  await expect(one.ready()).rejects.toThrow(printable(reason, { lines: true }));
  const ofTheEngine = lines.filter((line) => !line.startsWith("The engine ended ("));
  expect(ofTheEngine.map((line) => JSON.parse(line).part)).toEqual(ofTheEngine.map(() => "engine"));
}, 60_000);

test("an engine that is stopped while large bodies arrive ends by itself", async () => {
  const listening = Promise.withResolvers<string>();
  const ready = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<string>();
  const engineProcess = new EngineProcess(
    { backend: "scripted", script: '{"images":true}', port: 0 },
    {
      onEvent: (event) =>
        event.event === "listening"
          ? listening.resolve(event.url)
          : event.event === "ready" && ready.resolve(),
      onLog: () => {},
      onExit: ended.resolve,
    },
  );
  await ready.promise;
  const url = await listening.promise;
  const start = "x".repeat(4_000_000);
  const sockets = Array.from({ length: 8 }, () => rawRequest(url, start, 40_000_000));
  await Promise.all(sockets.map((socket) => once(socket, "drain")));
  await engineProcess.stop(60_000);
  expect(await ended.promise).toBe("exit code 0");
}, 60_000);

describe("the options", () => {
  const file = join(mkdtempSync(join(tmpdir(), "kamado-child-")), "received.json");
  const writesItsOptions = beginningWith(`
    import { once } from "node:events";
    import { writeFileSync } from "node:fs";
    const [given] = await once(process, "message");
    writeFileSync(${JSON.stringify(file)}, JSON.stringify(given));
    process.exit(0);
  `);
  /** What an engine process receives as its first message. */
  async function received(options: GivenOptions): Promise<unknown> {
    await new Promise((resolve) => {
      const watcher = { onEvent: () => {}, onLog: () => {}, onExit: resolve };
      new EngineProcess(options, watcher, writesItsOptions.environment);
    });
    return JSON.parse(readFileSync(file, "utf8"));
  }

  test("reach the engine unchanged, whatever is in them", async () => {
    const given = fc.record({
      model: fc.string({ unit: "binary" }),
      script: fc.string({ unit: "binary", maxLength: 100_000, size: "max" }),
      token: fc.constantFrom("--model", 'a "quoted" token\nof two lines'),
      slots: fc.constantFrom("auto" as const, 3),
      contextSize: fc.integer(),
    });
    await fc.assert(
      fc.asyncProperty(given, async (options) => {
        expect(await received(options)).toEqual(options);
      }),
      { numRuns: 5 },
    );
  }, 60_000);

  test.skipIf(!existsSync("/proc/self/environ"))(
    "do not show the token: not in arguments, environment or a file",
    async () => {
      const token = "a-token-that-nobody-sees";
      const { TMPDIR: _, ...environment } = process.env;
      const temporary = mkdtempSync(join(tmpdir(), "kamado-child-"));
      const one = start({ token, environment: { ...environment, TMPDIR: temporary } });
      await one.ready();
      const shown = ["cmdline", "environ"].map((name) => readFileSync(`/proc/${one.pid}/${name}`, "utf8"));
      expect(shown.join()).toContain("engine/main.ts");
      expect(shown.join()).not.toContain(token);
      expect(readdirSync(temporary)).toEqual([]);
      expect((await fetch(`${one.url}/v1/models`)).status).toBe(401);
      const headers = { authorization: `Bearer ${token}` };
      expect((await fetch(`${one.url}/v1/models`, { headers })).status).toBe(200);
    },
  );
});

const MAIN = fileURLToPath(new URL("../../../worker/engine/main.ts", import.meta.url));

test("an engine whose supervisor dies before it sent the options ends", async () => {
  const child = spawn(process.execPath, [MAIN], { stdio: ["ignore", "ignore", "ignore", "ipc"] });
  child.disconnect();
  const [code, signal] = await once(child, "exit");
  expect([0, "SIGKILL"]).toContain(code ?? signal);
});

test("started without a supervisor it says what to use, and ends", async () => {
  const child = spawn(process.execPath, [MAIN], { stdio: ["ignore", "ignore", "pipe"] });
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  expect([code, said]).toEqual([2, "This process is started by its supervisor: use `kamado engine`.\n"]);
});
