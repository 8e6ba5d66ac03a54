// An emulator as a process on a free port of the loopback address; stopped with its scratch folder gone.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type Emulator, pythonOf } from "./emulators.ts";

export type Emulated = { endpoint: string; stop(): Promise<void> };

export async function startEmulator(emulator: Emulator): Promise<Emulated> {
  const port = await freePort();
  const scratch = mkdtempSync(join(tmpdir(), `kamado-${emulator.name}-`));
  const child = spawn(pythonOf(emulator), emulator.serve(port), {
    cwd: scratch,
    env: { PATH: process.env.PATH, HOME: scratch, ...emulator.variables(port, scratch) },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit");
  const stop = async () => {
    child.kill("SIGKILL");
    await exited;
    rmSync(scratch, { recursive: true, force: true });
  };
  const endpoint = `http://127.0.0.1:${port}`;
  try {
    await answers(`${endpoint}${emulator.ready}`, child, lastWordsOf(child));
  } catch (thrown) {
    await stop();
    throw thrown;
  }
  return { endpoint, stop };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function lastWordsOf(child: ChildProcess): () => string {
  let words = "";
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding("utf8").on("data", (text: string) => {
      words = (words + text).slice(-2_000);
    });
  return () => words;
}

/** Asks until there is an answer: neither emulator says in one way when it is ready. */
async function answers(url: string, child: ChildProcess, words: () => string): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the emulator ended: ${words()}`);
    const response = await fetch(url).catch(() => null);
    await response?.body?.cancel();
    if (response?.ok) return;
    await pause(100);
  }
}
