// Runs `kamado` as a process with exactly the environment that a test gives it: no AWS keys of the user, no installed engine. No
// process outlives the test that started it, even when the test fails. Commands that only answer share a process (command-process.ts).
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { afterAll, onTestFinished } from "vitest";
import type { Answer, Call } from "./command-process.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const HOME = mkdtempSync(join(tmpdir(), "kamado-home-"));
const ofFile: ChildProcess[] = [];
afterAll(async () => {
  await Promise.all(ofFile.map(end));
  rmSync(HOME, { recursive: true, force: true, maxRetries: 3 });
});

/** In MB, at its start: tests start many processes, and a fifth of what a start costs is to collect garbage in a heap that grows from nothing. */
const LARGE_HEAP = "--initial-heap-size=128";

/** A process that is started in a hook or shared by several tests lives until the end of the `file`. */
type Life = { until?: "test" | "file"; cwd?: string; installation?: string };

export function kamado(
  args: string[],
  variables: Record<string, string>,
  // Not the repository, where a developer may have a kamado.toml.
  { until = "test", cwd = HOME, installation = ROOT }: Life = {},
): ChildProcess {
  const child = spawn(process.execPath, [LARGE_HEAP, join(installation, "worker/cli/start.mjs"), ...args], {
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

/** Commands that stay or start processes, and what is said of the command line as a whole. */
const ALONE = /^(serve|worker|engine|run|demo|bench|-.*)?$/;
/** Whether a test of this file has run one that does not. */
let hasStarted = false;

/**
 * Runs a command to its end. `input` is what it reads. The first one in a file is a process, as a user starts it. That costs more
 * than most commands do, so the next ones run in a process that has loaded them already, if they end by themselves. Help always does.
 */
export function runKamado(
  args: string[],
  variables: Record<string, string> = {},
  { input = "", ...life }: Life & { input?: string } = {},
): Promise<Answer> {
  const isHelp = args.some((one) => one === "--help" || one === "-h");
  if (!hasStarted || (ALONE.test(args[0] ?? "") && !isHelp)) {
    hasStarted = true;
    return runAlone(args, variables, input, life);
  }
  const environment = { PATH: process.env.PATH!, HOME, ...variables };
  return ask({ args, environment, cwd: life.cwd ?? HOME, input });
}

/** A command that ends because something is wrong, before it would stay or start a process: in a process that other commands share. */
export const refused = (args: string[], variables: Record<string, string>): Promise<Answer> =>
  ask({ args, environment: { PATH: process.env.PATH!, HOME, ...variables }, cwd: HOME, input: "" });

async function runAlone(args: string[], variables: Record<string, string>, input: string, life: Life) {
  const child = kamado(args, variables, life);
  child.stdin!.on("error", () => {}).end(input);
  const [out, errors, [code]] = await Promise.all([
    text(child.stdout!),
    text(child.stderr!),
    once(child, "exit"),
  ]);
  return { out, errors, code };
}

/** The processes that wait for a command. */
const idle: ChildProcess[] = [];

async function ask(call: Call): Promise<Answer> {
  const child = idle.pop() ?? startCommandProcess();
  child.send(call);
  const over = new AbortController();
  const [answer] = await Promise.race([
    once(child, "message", over),
    once(child, "exit", over).then(() => Promise.reject(new Error(`${call.args[0]} ended its process`))),
  ]).finally(() => over.abort());
  idle.push(child);
  return answer;
}

function startCommandProcess(): ChildProcess {
  const child = spawn(process.execPath, [join(import.meta.dirname, "command-process.ts")], {
    env: { NODE_COMPILE_CACHE: join(ROOT, "node_modules/.cache/kamado/commands") },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    detached: true,
  });
  ofFile.push(child);
  return child;
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
