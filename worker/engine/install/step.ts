// Runs one command of a build: writes each line of its output to the build's log, and turns a failure into an error that
// quotes the last lines.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, type WriteStream } from "node:fs";
import { createInterface } from "node:readline";
import { finished } from "node:stream/promises";
import { KamadoError } from "../../errors.ts";

const LAST_LINES = 12;
const DISK_FULL = /No space left on device|ENOSPC/i;

/** `broken` fires with the reason when the log cannot be written. */
export type Log = { path: string; stream: WriteStream; broken: AbortSignal };
export type Environment = Record<string, string | undefined>;
export type Step = {
  command: string;
  arguments: readonly string[];
  onLine?: (line: string) => void;
  environment: Environment;
  signal: AbortSignal;
};

export function openLog(path: string): Log {
  const broken = new AbortController();
  // Without a listener a stream's error would end the process.
  const stream = createWriteStream(path).on("error", (error: NodeJS.ErrnoException) => {
    const message = `The log ${path} cannot be written: ${error.message}`;
    broken.abort(
      error.code === "ENOSPC" ? diskFull("") : new KamadoError("build_failed", message, { cause: error }),
    );
  });
  return { path, stream, broken: broken.signal };
}

export async function closeLog({ stream }: Log): Promise<void> {
  stream.end();
  await finished(stream).catch(() => {});
}

/** Throws `build_failed` with the last lines, `disk_full`, or the signal's reason. */
export async function runStep(step: Step, log: Log): Promise<void> {
  const { command, arguments: list, environment: env, onLine } = step;
  const signal = AbortSignal.any([step.signal, log.broken]);
  signal.throwIfAborted();
  log.stream.write(`$ ${command} ${list.join(" ")}\n`);
  const last: string[] = [];
  const child = spawn(command, list, { stdio: ["ignore", "pipe", "pipe"], detached: true, env });
  const kill = () => killGroup(child);
  signal.addEventListener("abort", kill, { once: true });
  const onOutput = (line: string) => {
    log.stream.write(`${line}\n`);
    if (line.trim() !== "" && last.push(line) > LAST_LINES) last.shift();
    onLine?.(line);
  };
  for (const stream of [child.stdout, child.stderr]) createInterface(stream).on("line", onOutput);
  try {
    const [code] = await once(child, "close");
    signal.throwIfAborted();
    if (code !== 0) throw failed(command, code, last, log);
  } finally {
    signal.removeEventListener("abort", kill);
  }
}

/** Kills the build tool with the compilers it has started. */
function killGroup({ pid, exitCode }: ChildProcess): void {
  if (pid === undefined || exitCode !== null) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // They have just ended.
  }
}

/** Of the log's end in a message, whose own end must not be cut off. Characters. */
const MAX_END = 3_000;

function failed(command: string, code: unknown, last: readonly string[], { path }: Log): KamadoError {
  const end = last
    .map((line) => `  ${line}`)
    .join("\n")
    .slice(-MAX_END);
  if (last.some((line) => DISK_FULL.test(line))) return diskFull(`\n${end}`);
  return new KamadoError(
    "build_failed",
    `${command} ended with exit code ${code}. The whole log is ${path}; its end:\n${end}`,
  );
}

export const diskFull = (more: string) =>
  new KamadoError("disk_full", `The disk is full: building llama-server takes about 600 MB.${more}`);
