// What the bench knows of other processes: how it reads the system's figures, and that none is left behind.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import {
  clockSeconds,
  cpuSeconds,
  familyBytes,
  residentBytes,
  statSeconds,
  sumOfFamily,
} from "../../bench/cpu-time.ts";
import { startOurEngine } from "../../bench/engine-process.ts";
import { startGuarded } from "../../bench/guarded-process.ts";
import { Session } from "../../bench/session.ts";

describe("CPU time", () => {
  test.each([
    ["0:00.25", 0.25],
    ["12:03.50", 723.5],
    ["01:02:03", 3_723],
    ["2-01:00:00", 176_400],
    ["  00:00:07\n", 7],
  ])("ps says %j: %f seconds", (text, expected) => {
    expect(clockSeconds(text)).toBeCloseTo(expected);
  });

  test("is read from /proc whatever the program is called", () => {
    const fields = "S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 11 0 100 1 2";
    expect(statSeconds(`42 (a) (b c) ${fields}`)).toBe(3);
  });

  test("and memory of this very process are there", () => {
    expect(cpuSeconds(process.pid)).toBeGreaterThan(0);
    expect(residentBytes(process.pid)).toBeGreaterThan(1e6);
    expect(familyBytes(process.pid)).toBeGreaterThan(1e6);
  });

  test("of a process that is no more cannot be told, and that is said", () => {
    expect(() => cpuSeconds(2 ** 22 + 1)).toThrow("has ended while it was measured");
  });

  test("memory of a server counts what it has started too, and nothing else", () => {
    expect(sumOfFamily("    1     0  7\n 10 1 100\n 11 10 20\n 12 11 3\n 13 1 5000\n", 10)).toBe(123);
  });
});

const isThere = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe("a guarded program", () => {
  test("is gone when it was stopped, however often", async () => {
    const guarded = await startGuarded("sleep", ["600"]);
    expect(isThere(guarded.pid)).toBe(true);
    await Promise.all([guarded.stop(), guarded.stop()]);
    expect(isThere(guarded.pid)).toBe(false);
  });

  test("is gone when the bench was killed", async () => {
    const module = new URL("../../bench/guarded-process.ts", import.meta.url).href;
    const script = `const { pid } = await (await import("${module}")).startGuarded("sleep", ["600"]); console.log(pid);`;
    const bench = spawn(process.execPath, ["--input-type=module", "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(createInterface(bench.stdout), "line");
    expect(isThere(Number(line))).toBe(true);
    bench.kill("SIGKILL");
    await once(bench, "exit");
    while (isThere(Number(line))) await new Promise((resolve) => setTimeout(resolve, 10));
  });

  test("that ended by itself is known to have ended, and its last words are kept", async () => {
    const guarded = await startGuarded("/bin/sh", ["-c", "echo no such model"]);
    expect(await guarded.fell).toBe("no such model");
    await guarded.stop();
  });

  test("that cannot be found is known to have ended", async () => {
    const guarded = await startGuarded("/no/such/program", []);
    expect(await guarded.fell).toMatch(/not found|No such file/);
    await guarded.stop();
  });
});

describe("a session", () => {
  const session = () => new Session(() => {});

  test("gives up what it waits for when it ends, with the first reason", async () => {
    const one = session();
    const waiting = one.during(new Promise(() => {}));
    one.end(new Error("first"));
    one.end(new Error("second"));
    await expect(waiting).rejects.toThrow("first");
    await expect(one.during(Promise.resolve("late"))).rejects.toThrow("first");
  });

  test("ends when an engine under measurement is killed", async () => {
    const one = session();
    const engine = await startOurEngine({ backend: "scripted", slots: 1 }, one);
    const waiting = one.during(new Promise(() => {}));
    process.kill(engine.pid, "SIGKILL");
    await expect(waiting).rejects.toThrow("Our engine ended (SIGKILL)");
    await engine.stop();
  });

  test("goes on when an engine was stopped, and says why one cannot start", async () => {
    const one = session();
    await (await startOurEngine({ backend: "scripted", slots: 1 }, one)).stop();
    expect(one.signal.aborted).toBe(false);
    const broken = startOurEngine({ backend: "scripted", slots: 1, script: '{"loadFails":"no"}' }, one);
    await expect(broken).rejects.toThrow("Our engine cannot start: no");
  });
});
