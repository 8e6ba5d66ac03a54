// One command of a build: run to its end, every line heard and written to the log, its failure told in words.
import { spawn } from "node:child_process";
import { once } from "node:events";
import type { WriteStream } from "node:fs";
import { createInterface } from "node:readline";
import { KamadoError } from "../errors.ts";

const LAST_LINES = 12;
const DISK_FULL = /No space left on device|ENOSPC/i;

export type Log = { path: string; stream: WriteStream };
export type Step = {
  command: string;
  arguments: readonly string[];
  onLine?: (line: string) => void;
  signal: AbortSignal;
};

/** Throws `build_failed` with its last lines and `disk_full`; the signal's reason when that fires. */
export async function runStep({ command, arguments: list, onLine, signal }: Step, log: Log): Promise<void> {
  log.stream.write(`$ ${command} ${list.join(" ")}\n`);
  const last: string[] = [];
  const child = spawn(command, list, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  // The build tool's own children go with it.
  const kill = () =>
    void (child.exitCode === null && child.pid !== undefined && process.kill(-child.pid, "SIGKILL"));
  signal.addEventListener("abort", kill, { once: true });
  const hear = (line: string) => {
    log.stream.write(`${line}\n`);
    if (line.trim() !== "" && last.push(line) > LAST_LINES) last.shift();
    onLine?.(line);
  };
  for (const stream of [child.stdout, child.stderr]) createInterface(stream).on("line", hear);
  try {
    const [code] = await once(child, "close");
    signal.throwIfAborted();
    if (code !== 0) throw failed(command, code, last, log);
  } finally {
    signal.removeEventListener("abort", kill);
  }
}

function failed(command: string, code: unknown, last: readonly string[], { path }: Log): KamadoError {
  const words = last.map((line) => `  ${line}`).join("\n");
  if (last.some((line) => DISK_FULL.test(line))) return diskFull(`\n${words}`);
  return new KamadoError(
    "build_failed",
    `${command} ended with exit code ${code}. The whole log is ${path}; its end:\n${words}`,
  );
}

export const diskFull = (more: string) =>
  new KamadoError("disk_full", `The disk is full: building llama-server takes about 600 MB.${more}`);
