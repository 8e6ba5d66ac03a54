// What the build of llama-server does when a step cannot run. The whole command is tested in test/cli.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { installLlamaServer } from "../../../worker/engine/install/install.ts";
import { closeLog, openLog, runStep } from "../../../worker/engine/install/step.ts";

const environment = { PATH: process.env.PATH };
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kamado-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test.skipIf(!existsSync("/dev/full"))("a disk that is too full for the log is reported as full", async () => {
  const home = join(folder, "llama-server");
  mkdirSync(home);
  symlinkSync("/dev/full", join(home, "build.log"));
  const { signal } = new AbortController();
  const install = installLlamaServer({ dataDir: folder, jobs: 1, environment, onProgress: () => {}, signal });
  await expect(install).rejects.toMatchObject({ code: "disk_full" });
  expect(readdirSync(home)).toEqual(["build.log"]);
});

test("a data folder that cannot be written is named in the error", async () => {
  const dataDir = join(folder, "a file");
  writeFileSync(dataDir, "");
  const { signal } = new AbortController();
  await expect(
    installLlamaServer({ dataDir, jobs: 1, environment, onProgress: () => {}, signal }),
  ).rejects.toMatchObject({
    code: "config_invalid",
    message: expect.stringContaining(dataDir),
    hint: expect.stringContaining("KAMADO_DATA_DIR"),
  });
});

test("a log that cannot be written for another reason is named in the error", async () => {
  const log = openLog(join(folder, "nowhere", "build.log"));
  const step = { command: "sleep", arguments: ["600"], environment, signal: new AbortController().signal };
  await expect(runStep(step, log)).rejects.toMatchObject({
    code: "build_failed",
    message: expect.stringContaining(log.path),
  });
  await closeLog(log);
});

test("a step that was interrupted before its start is not started", async () => {
  const log = openLog(join(folder, "build.log"));
  const signal = AbortSignal.abort(new Error("interrupted"));
  const step = { command: "touch", arguments: [join(folder, "begun")], environment, signal };
  await expect(runStep(step, log)).rejects.toThrow("interrupted");
  await closeLog(log);
  expect(existsSync(join(folder, "begun"))).toBe(false);
});
