// llama.cpp's own server beside which ours is measured: where it is found, and how it runs.
import { existsSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Config, loadConfig } from "../worker/config.ts";
import { KamadoError } from "../worker/errors.ts";
import { findLlamaServer } from "../worker/llama-server/place.ts";
import type { ServerProcess } from "./engine-process.ts";
import { type Guarded, startGuarded } from "./guarded-process.ts";

export type LlamaServerOptions = { model: string; slots: number; contextSize: number; threads: number };

const LOAD_MS = 120_000;

/** KAMADO_LLAMA_SERVER, else the one that was installed. Throws `config_invalid`, which says how to get one. */
export function findProgram({ engine, dataDir }: Pick<Config, "engine" | "dataDir"> = loadConfig()): string {
  const named = engine.llamaServer;
  if (named !== undefined && !existsSync(named))
    throw new KamadoError("config_invalid", `KAMADO_LLAMA_SERVER: there is no file ${named}.`);
  const found = named ?? findLlamaServer(dataDir);
  if (found !== undefined) return found;
  const how =
    "`kamado engine install-llama-server` builds one; or set KAMADO_LLAMA_SERVER to the path of yours";
  throw new KamadoError("config_invalid", `There is no llama-server to measure against: ${how}.`);
}

/** One slot has the whole of `contextSize`, as with ours. Resolves when it can serve. */
export async function startLlamaServer(program: string, options: LlamaServerOptions): Promise<ServerProcess> {
  const { model, slots, contextSize, threads } = options;
  const port = await freePort();
  const numbers = {
    port,
    "ctx-size": contextSize * slots,
    parallel: slots,
    threads,
    "threads-batch": threads,
  };
  const flags = Object.entries(numbers).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const server = await startGuarded(program, ["--model", model, "--host", "127.0.0.1", ...flags]);
  const url = `http://127.0.0.1:${port}`;
  try {
    await healthy(url, server);
  } catch (thrown) {
    await server.stop();
    throw thrown;
  }
  return { url, pid: server.pid, stop: server.stop };
}

async function healthy(url: string, server: Guarded): Promise<void> {
  for (const end = performance.now() + LOAD_MS; performance.now() < end; await sleep(100)) {
    const answer = await fetch(`${url}/health`).catch(() => undefined);
    if (answer?.ok) return;
    if (!answer && server.hasEnded()) break;
  }
  throw new KamadoError("engine_unavailable", `llama-server does not serve.\n${server.lastWords()}`);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}
