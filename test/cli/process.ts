// The command as a process of its own, with an environment of the test's choosing and nothing else.
import { type ChildProcess, spawn } from "node:child_process";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");

export function kamado(args: string[], variables: Record<string, string>): ChildProcess {
  return spawn(process.execPath, [join(ROOT, "worker/cli/start.mjs"), ...args], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, ...variables },
    stdio: ["pipe", "pipe", "pipe"],
    // A group of its own, as a terminal gives one, so that a test can signal all of it.
    detached: true,
  });
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
