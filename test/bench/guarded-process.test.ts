// A program that the bench started does not outlive it.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, expect, test } from "vitest";
import { startGuarded } from "../../bench/guarded-process.ts";

const isThere = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};

describe("a guarded program", () => {
  test("has ended when it was stopped, however often", async () => {
    const guarded = await startGuarded("sleep", ["600"]);
    expect(isThere(guarded.pid)).toBe(true);
    await Promise.all([guarded.stop(), guarded.stop()]);
    expect(isThere(guarded.pid)).toBe(false);
  });

  test("ends when the bench is killed", async () => {
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

  test("that ends by itself is reported with its last output", async () => {
    const guarded = await startGuarded("/bin/sh", ["-c", "echo no such model"]);
    expect(await guarded.exited).toBe("no such model");
    await guarded.stop();
  });

  test("that cannot be found is reported too", async () => {
    const guarded = await startGuarded("/no/such/program", []);
    expect(await guarded.exited).toMatch(/not found|No such file/);
    await guarded.stop();
  });
});
