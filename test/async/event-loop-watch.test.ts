// What must not end a process whose event loop is watched. That code without a pause ends it is shown with a real worker, in
// test/cli/watch.test.ts.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { expect, onTestFinished, test } from "vitest";

const WATCH = pathToFileURL(join(import.meta.dirname, "../../worker/async/event-loop-watch.ts")).href;

/** A process that is watched with a limit of one second, says "ready", and then does what `code` says. */
function watched(code: string): ChildProcess {
  const file = join(mkdtempSync(join(tmpdir(), "kamado-watch-")), "main.mjs");
  const begin = `import { watchEventLoop } from "${WATCH}";\nconst watch = watchEventLoop({ seconds: 1, json: true });\n`;
  writeFileSync(file, `${begin}process.stdout.write("ready\\n");\n${code}`);
  const child = spawn(process.execPath, [file], { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child;
}

const WAIT = "const wait = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3_500);";
const PAUSES = "const busy = (ms) => { for (const end = Date.now() + ms; Date.now() < end; ); };";

test.each([
  ["a program that waits without an event loop, as for a debugger", `${WAIT} wait();`],
  [
    "a busy event loop that pauses now and then",
    `${PAUSES} for (let i = 0; i < 6; i++) { busy(400); await new Promise((resolve) => setTimeout(resolve, 20)); }`,
  ],
  ["what is done, which the watch does not keep alive", "watch.note('a', 'a job'); watch.over('a');"],
])(
  "%s goes on to its end",
  async (_, code) => {
    expect(await once(watched(code), "exit")).toEqual([0, null]);
  },
  30_000,
);

test("a process that is stopped for longer than the limit, as by the sleep of the machine, goes on", async () => {
  const child = watched('process.stdin.once("data", () => process.exit(7));');
  await once(child.stdout!, "data");
  child.kill("SIGSTOP");
  await sleep(2_500);
  child.kill("SIGCONT");
  // It answers after a look of the watch.
  await sleep(1_500);
  child.stdin!.write("end\n");
  expect(await once(child, "exit")).toEqual([7, null]);
}, 30_000);
