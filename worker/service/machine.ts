// What services need of this machine: its commands (launchctl, systemctl, podman), its files, and who its user is. Tests give another one.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { homedir, userInfo } from "node:os";
import { text } from "node:stream/consumers";
import { KamadoError } from "../errors.ts";

export type Ran = { code: number; out: string; errors: string };

type RunOptions = { input?: string; isShown?: boolean; timeoutMs?: number };

export type Machine = {
  platform: NodeJS.Platform;
  uid: number;
  user: string;
  home: string;
  /** Where files of the system are; another folder in tests. */
  systemRoot: string;
  /** `code` is 127 when there is no such command. `isShown`: its output goes to the terminal. `timeoutMs`: then it is ended, and fails. */
  run(command: readonly string[], options?: RunOptions): Promise<Ran>;
};

export function thisMachine(environment: Record<string, string | undefined>): Machine {
  const { uid, username } = userInfo();
  return {
    platform: process.platform,
    uid,
    user: username,
    home: homedir(),
    systemRoot: "/",
    run: (command, options) => run(command, environment, options),
  };
}

async function run(
  [program, ...list]: readonly string[],
  environment: Record<string, string | undefined>,
  { input = "", isShown = false, timeoutMs }: RunOptions = {},
): Promise<Ran> {
  const output = isShown ? "inherit" : "pipe";
  const child = spawn(program!, list, {
    env: environment,
    stdio: ["pipe", output, output],
    ...(timeoutMs !== undefined && { timeout: timeoutMs, killSignal: "SIGKILL" }),
  });
  child.stdin!.on("error", () => {}).end(input);
  const read = (stream: NodeJS.ReadableStream | null) => (stream ? text(stream as never) : "");
  try {
    const [out, errors, [code]] = await Promise.all([
      read(child.stdout),
      read(child.stderr),
      once(child, "close"),
    ]);
    return { code: code ?? 1, out, errors };
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return { code: 127, out: "", errors: "" };
    throw new KamadoError("tool_missing", `${program} could not be started: ${(thrown as Error).message}`);
  }
}
