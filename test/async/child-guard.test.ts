// Real processes: a parent that is killed, and a child that cannot notice it.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { expect, onTestFinished, test } from "vitest";
import { until } from "../engine/running.ts";

const MODULE = new URL("../../worker/async/child-guard.ts", import.meta.url);

/** A parent with a guarded child that runs `code`. The parent prints the child's id once the child has printed something. */
async function family(code: string): Promise<{ parent: ChildProcess; child: number }> {
  const program = `
    import { spawn } from "node:child_process";
    import { once } from "node:events";
    import { guardChild } from ${JSON.stringify(MODULE)};
    const child = spawn(process.execPath, ["-e", ${JSON.stringify(code)}], { stdio: ["pipe", "pipe", "ignore"] });
    guardChild(child);
    await once(child.stdout, "data");
    process.stdin.on("data", () => child.kill());
    console.log(child.pid);`;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  onTestFinished(() => void parent.kill("SIGKILL"));
  const [line] = await once(parent.stdout!, "data");
  return { parent, child: Number(line) };
}

function alive(pid: number): boolean {
  try {
    // Here nobody reaps the child of a parent that was killed.
    return process.kill(pid, 0) && !/^State:\s+Z/m.test(status(pid));
  } catch {
    return false;
  }
}

const status = (pid: number) =>
  existsSync(`/proc/${pid}/status`) ? readFileSync(`/proc/${pid}/status`, "utf8") : "";

test.each([
  ["hangs in native code", "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)"],
  ["runs without a pause", "for (;;);"],
  [
    "ignores every signal that it can",
    "process.on('SIGTERM', () => {}); process.on('SIGHUP', () => {}); setInterval(() => {}, 9)",
  ],
])("a child that %s ends when its parent is killed", async (_, code) => {
  const { parent, child } = await family(`require("node:fs").writeSync(1, "x"); ${code}`);
  expect(alive(child)).toBe(true);
  parent.kill("SIGKILL");
  await until(() => !alive(child));
});

test.skipIf(!existsSync(`/proc/self/task/${process.pid}/children`))(
  "when the child ends, its guard ends too, and the parent can end by itself",
  async () => {
    const { parent, child } = await family(`process.stdout.write("x"); setInterval(() => {}, 9)`);
    const children = () => readFileSync(`/proc/${parent.pid}/task/${parent.pid}/children`, "utf8").trim();
    expect(children().split(" ")).toHaveLength(2);
    parent.stdin!.write("end it");
    await until(() => children() === "");
    expect(alive(child)).toBe(false);
    const exited = once(parent, "exit");
    parent.stdin!.end();
    expect(await exited).toEqual([0, null]);
  },
);
