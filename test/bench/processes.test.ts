// What the bench knows of other processes: how it reads the system's figures, and that none is left behind.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { clockSeconds, cpuSeconds, residentBytes, statSeconds } from "../../bench/cpu-time.ts";
import { startGuarded } from "../../bench/guarded-process.ts";

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
    while (!guarded.hasEnded()) await new Promise((resolve) => setTimeout(resolve, 10));
    await guarded.stop();
    expect(guarded.lastWords()).toBe("no such model");
  });
});
