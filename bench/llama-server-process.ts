// llama.cpp's own server, beside which ours is measured: finds and runs it.
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { type Config, loadConfig } from "../worker/config/config.ts";
import { findLlamaServer } from "../worker/engine/install/place.ts";
import { KamadoError } from "../worker/errors.ts";
import type { ServerProcess } from "./engine-process.ts";
import { freePort } from "./free-port.ts";
import { startGuarded } from "./guarded-process.ts";
import type { Session } from "./session.ts";

export type LlamaServerOptions = { model: string; slots: number; contextSize: number; threads: number };

const LOAD_MS = 120_000;

type Where = Pick<Config, "engine" | "dataDir">;

/** KAMADO_LLAMA_SERVER, otherwise the installed one, if any. Throws `config_invalid` when the named file does not exist. */
export function programIn({ engine, dataDir }: Where = loadConfig()): string | undefined {
  const named = engine.llamaServer;
  if (named !== undefined && !existsSync(named))
    throw new KamadoError("config_invalid", `KAMADO_LLAMA_SERVER: there is no file ${named}.`);
  return named ?? findLlamaServer(dataDir);
}

/** Like `programIn`, but throws `config_invalid` when there is none, and says how to get one. */
export function findProgram(config?: Where): string {
  const found = programIn(config);
  if (found !== undefined) return found;
  const how =
    "`kamado engine install-llama-server` builds one; or set KAMADO_LLAMA_SERVER to the path of yours";
  throw new KamadoError("config_invalid", `There is no llama-server to run: ${how}.`);
}

/** Each slot has a context of `contextSize`, as in our engine. Resolves when it can serve. */
export async function startLlamaServer(
  program: string,
  { model, slots, contextSize, threads }: LlamaServerOptions,
  session: Session,
): Promise<ServerProcess> {
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
  void server.exited.then((output) => session.end(failed(`llama-server ended.\n${output}`)));
  const url = `http://127.0.0.1:${port}`;
  try {
    await healthy(url, session.signal);
  } catch (thrown) {
    await server.stop();
    throw session.signal.aborted ? session.signal.reason : thrown;
  }
  return { url, pid: server.pid, stop: server.stop };
}

async function healthy(url: string, signal: AbortSignal): Promise<void> {
  const end = performance.now() + LOAD_MS;
  while (performance.now() < end) {
    const answer = await fetch(`${url}/health`, { signal }).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(100, undefined, { signal });
  }
  throw failed(`llama-server does not serve after ${LOAD_MS / 1_000} s.`);
}

const failed = (message: string) => new KamadoError("engine_unavailable", message);
