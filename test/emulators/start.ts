// Starts an emulator on a free port of the loopback address. Stopping it removes its scratch folder, even if it never answered.
import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Emulator, pythonOf } from "./emulators.ts";

export type Emulated = { endpoint: string; stop(): Promise<void> };

/** For all tries together. The hook that waits must have more time, or nothing would stop the process. */
const DEADLINE_MS = 90_000;
/** A request without an answer is repeated after this time. */
const ANSWER_MS = 10_000;
const TRIES = 3;
const PORT_TAKEN = /address already in use|port \d+ is in use/i;

export async function startEmulator(emulator: Emulator): Promise<Emulated> {
  const deadline = AbortSignal.timeout(DEADLINE_MS);
  for (let left = TRIES - 1; ; left--) {
    try {
      return await startOn(await freePort(), emulator, deadline);
    } catch (thrown) {
      if (left === 0 || !PORT_TAKEN.test((thrown as Error).message)) throw thrown;
    }
  }
}

async function startOn(port: number, emulator: Emulator, deadline: AbortSignal): Promise<Emulated> {
  const scratch = mkdtempSync(join(tmpdir(), `kamado-${emulator.name}-`));
  const child = spawn(pythonOf(emulator), emulator.serve(port), {
    cwd: scratch,
    env: {
      PATH: process.env.PATH,
      HOME: scratch,
      TMPDIR: scratch,
      ...emulator.variables(port, scratch),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const over = new AbortController();
  const ended = Promise.withResolvers<void>();
  const end = (how: string) => {
    over.abort(new Error(`${emulator.name} ended (${how}): ${output()}`));
    ended.resolve();
  };
  const output = lastOutputOf(child);
  child.once("error", (error) => end(error.message)).once("close", (code) => end(`exit code ${code}`));
  const stop = async () => {
    child.kill("SIGKILL");
    await ended.promise;
    rmSync(scratch, { recursive: true, force: true, maxRetries: 3 });
  };
  const endpoint = `http://127.0.0.1:${port}`;
  try {
    await answers(`${endpoint}${emulator.ready}`, AbortSignal.any([over.signal, deadline]));
  } catch (thrown) {
    await stop();
    if (!deadline.aborted) throw thrown;
    throw new Error(`${emulator.name} does not answer after ${DEADLINE_MS / 1_000} s: ${output()}`);
  }
  return { endpoint, stop };
}

/** Below the ports that the system gives to any connection, so that none takes it before the emulator listens. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 30_000);
    const server = createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(
      () => true,
      () => false,
    );
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

function lastOutputOf(child: ChildProcess): () => string {
  let output = "";
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(-2_000);
    });
  return () => output;
}

/** Asks until there is an answer, because the emulators have no common way to say that they are ready. Throws when `over` fires. */
async function answers(url: string, over: AbortSignal): Promise<void> {
  for (;;) {
    const signal = AbortSignal.any([over, AbortSignal.timeout(ANSWER_MS)]);
    const response = await fetch(url, { signal }).catch(() => null);
    await response?.body?.cancel();
    if (response?.ok) return;
    over.throwIfAborted();
    await pause(100);
  }
}
