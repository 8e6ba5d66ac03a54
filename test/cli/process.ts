// Runs `kamado` as a process with exactly the environment that a test gives it: no AWS keys of the user, no installed engine. No
// process outlives the test that started it, even when the test fails.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { afterAll, onTestFinished } from "vitest";

const ROOT = resolve(import.meta.dirname, "../..");
const HOME = mkdtempSync(join(tmpdir(), "kamado-home-"));
const ofFile: ChildProcess[] = [];
afterAll(async () => {
  await Promise.all(ofFile.map(end));
  rmSync(HOME, { recursive: true, force: true, maxRetries: 3 });
});

/** A process that is started in a hook or shared by several tests lives until the end of the `file`. */
type Life = { until?: "test" | "file"; cwd?: string; installation?: string };

export function kamado(
  args: string[],
  variables: Record<string, string>,
  // Not the repository, where a developer may have a kamado.toml.
  { until = "test", cwd = HOME, installation = ROOT }: Life = {},
): ChildProcess {
  const child = spawn(process.execPath, [join(installation, "worker/cli/start.mjs"), ...args], {
    cwd,
    env: { PATH: process.env.PATH, HOME, ...variables },
    stdio: ["pipe", "pipe", "pipe"],
    // A process group of its own, as in a terminal, so that a test can send a signal to the whole group.
    detached: true,
  });
  if (until === "test") onTestFinished(() => end(child));
  else ofFile.push(child);
  return child;
}

/** Ends the whole process group, including processes that were left behind. */
async function end(child: ChildProcess): Promise<void> {
  const hasEnded = child.exitCode !== null || child.signalCode !== null || child.pid === undefined;
  const exited = hasEnded ? undefined : once(child, "exit");
  try {
    process.kill(-child.pid!, "SIGKILL");
  } catch {
    // All of them have ended.
  }
  await exited;
}

/** Runs a command to its end. `input` is what it reads. */
export async function runKamado(
  args: string[],
  variables: Record<string, string> = {},
  { input = "", ...life }: Life & { input?: string } = {},
): Promise<{ out: string; errors: string; code: number }> {
  const child = kamado(args, variables, life);
  child.stdin!.on("error", () => {}).end(input);
  const [out, errors, [code]] = await Promise.all([
    text(child.stdout!),
    text(child.stderr!),
    once(child, "exit"),
  ]);
  return { out, errors, code };
}

/** A `kamado serve` that has printed its addresses. It lives until the end of the file. */
export async function served(args: string[], variables: Record<string, string>) {
  const child = kamado(["serve", "--json", ...args], { ...SCRIPTED, ...variables }, { until: "file" });
  let errors = "";
  child.stderr!.setEncoding("utf8").on("data", (more) => (errors += more));
  const exited = once(child, "exit");
  const line = await Promise.race([
    once(createInterface(child.stdout!), "line"),
    exited.then(() => Promise.reject(new Error(errors))),
  ]);
  const addresses: { endpoint: string; queue: string; web: string } = JSON.parse(String(line[0]));
  return { child, exited, addresses, errors: () => errors };
}

/** Free ports, and an engine that answers from a script. */
export const SCRIPTED = {
  KAMADO_BACKEND: "scripted",
  KAMADO_ENGINE_PORT: "0",
  KAMADO_WEB_PORT: "0",
  KAMADO_LOCAL_PORT: "0",
  KAMADO_POLL_SECONDS: "1",
  KAMADO_LOG_LEVEL: "warn",
};
