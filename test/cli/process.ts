// The command as a process of its own, with an environment of the test's choosing and nothing else: no account's keys, no
// engine that was installed for daily use. None outlives the test that started it, whatever became of the test.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, onTestFinished } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const HOME = mkdtempSync(join(tmpdir(), "kamado-home-"));
const ofFile: ChildProcess[] = [];
afterAll(async () => {
  await Promise.all(ofFile.map(end));
  rmSync(HOME, { recursive: true, force: true, maxRetries: 3 });
});

/** One that is started in a hook, or that several tests share, lives until the end of the `file`. */
type Life = { until?: "test" | "file" };

export function kamado(
  args: string[],
  variables: Record<string, string>,
  { until = "test" }: Life = {},
): ChildProcess {
  const child = spawn(process.execPath, [join(ROOT, "worker/cli/start.mjs"), ...args], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME, ...variables },
    stdio: ["pipe", "pipe", "pipe"],
    // A group of its own, as a terminal gives one, so that a test can signal all of it.
    detached: true,
  });
  if (until === "test") onTestFinished(() => end(child));
  else ofFile.push(child);
  return child;
}

/** With its whole group, so that what it had started and lost goes too. */
async function end(child: ChildProcess): Promise<void> {
  const hasEnded = child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
  const exited = hasEnded ? undefined : once(child, "exit");
  try {
    process.kill(-child.pid!, "SIGKILL");
  } catch {
    // All of it is gone already.
  }
  await exited;
}

/** Free ports, and an engine that answers from its script. */
export const SCRIPTED = {
  KAMADO_BACKEND: "scripted",
  KAMADO_ENGINE_PORT: "0",
  KAMADO_WEB_PORT: "0",
  KAMADO_LOCAL_PORT: "0",
  KAMADO_POLL_SECONDS: "1",
  KAMADO_LOG_LEVEL: "warn",
};
