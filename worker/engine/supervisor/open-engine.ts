// The engine a command works with: one that is there already, or a supervised one of our own.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Config, engineEnvironment, HOME } from "../../config/config.ts";
import type { Secret } from "../../config/secret.ts";
import { KamadoError } from "../../errors.ts";
import { isLoopback } from "../../http/loopback.ts";
import type { Log } from "../../logging/log.ts";
import { findLlamaServer } from "../install/place.ts";
import type { Ready } from "./process.ts";
import { startEngine } from "./supervisor.ts";

/** `ready` resolves when an engine of our own can serve, with what it says of itself; another's is asked by the gate. */
export type OpenEngine = { url: string; ready(): Promise<Ready | undefined>; stop(): Promise<void> };

/** The toy is nothing to be measured. */
const DEMO_SLOTS = 8;

// Where start.mjs keeps this process's compiled code; of the engine's start it saves a third.
const COMPILED = { NODE_COMPILE_CACHE: join(HOME, "node_modules/.cache/kamado") };

/** The engine that is there, or a supervised one of our own. It has its address; it may still be loading. */
export async function openEngine(
  config: Config,
  log: Log,
  more: { calibrate?: "always" } = {},
): Promise<OpenEngine> {
  const { url, model, mmproj, backend, script, contextSize, maxQueue, memoryLimit, isDemo } = config.engine;
  if (url !== undefined) return { url, ready: async () => undefined, stop: async () => {} };
  const { host, port, token } = config.engine;
  checkHost(host, token);
  if (port !== 0) await untilFree(port, host);
  const tokenFile = token && keepToken(token);
  const files = backend === "scripted" ? {} : { model, mmproj };
  const engine = startEngine({
    ...files,
    backend,
    script,
    ...llamaServerOf(config),
    contextSize,
    maxQueue,
    host,
    port,
    tokenFile,
    // More threads than work: on a busy machine they wait for each other longer than the toy thinks.
    ...(isDemo && { threads: 1 }),
    slots: config.slots ?? (isDemo && !more.calibrate ? DEMO_SLOTS : "auto"),
    ...more,
    dataDir: config.dataDir,
    memoryLimit,
    logLevel: config.logLevel,
    environment: { ...COMPILED, ...engineEnvironment() },
    onLog: (line) => passOn(line, log),
  });
  engine.onChange((state) => {
    if (state === "SETUP_FAILED")
      log.error({ stage: "engine" }, `the engine cannot be started: ${engine.reason}`);
    else log.info({ stage: "engine", state, restarts: engine.restarts }, `engine ${state}`);
  });
  const stop = async () => {
    await engine.stop();
    if (tokenFile !== undefined) rmSync(dirname(tokenFile), { recursive: true, force: true });
  };
  // Which port it is the engine alone knows, once it has it.
  const known = port === 0 ? engine.listening().then((at) => new URL(at).port) : port;
  try {
    return {
      url: `http://${ownNameOf(host)}:${await known}`,
      ready: () => engine.ready().then(() => engine.info),
      stop,
    };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

/** Throws `config_invalid` for an address others can reach without a token. */
function checkHost(host: string, token: Secret | undefined): void {
  if (isLoopback(host) || token !== undefined) return;
  const why = `KAMADO_ENGINE_HOST: ${host} can be reached from outside; set KAMADO_ENGINE_TOKEN or KAMADO_ENGINE_TOKEN_FILE too.`;
  throw new KamadoError("config_invalid", why);
}

/** For the engine process: its flags and its environment can be seen by others on the machine, this file cannot. */
function keepToken(token: Secret): string {
  const path = join(mkdtempSync(join(tmpdir(), "kamado-token-")), "token");
  writeFileSync(path, token.reveal(), { mode: 0o600 });
  return path;
}

/** What listens on every address listens on loopback too. */
function ownNameOf(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

/** Named only where it may be wanted: a path that does not exist is refused. */
function llamaServerOf({ engine: { backend, llamaServer }, dataDir }: Config): { llamaServer?: string } {
  if (backend !== "auto" && backend !== "llama-server") return {};
  const path = llamaServer ?? findLlamaServer(dataDir);
  return path === undefined ? {} : { llamaServer: path };
}

/** A line of the engine's own log keeps its level (pino's numbers); what its supervisor says is a warning. */
function passOn(line: string, log: Log): void {
  const { level, msg } = logLine(line);
  const known = level >= 50 ? "error" : level >= 40 ? "warn" : level >= 30 ? "info" : "debug";
  log[known]({ stage: "engine" }, msg);
}

function logLine(line: string): { level: number; msg: string } {
  try {
    const { level = 20, msg = line } = JSON.parse(line) as { level?: number; msg?: string };
    return { level, msg };
  } catch {
    return { level: 40, msg: line };
  }
}

/** An engine whose worker was killed a moment ago needs so long to notice. */
const PORT_WAIT_MS = 3_000;

/** Resolves when nobody listens there. Throws `config_invalid`. */
async function untilFree(port: number, host: string): Promise<void> {
  for (const end = performance.now() + PORT_WAIT_MS; ; await sleep(100)) {
    try {
      return await listenOnce(port, host);
    } catch (cause) {
      if (performance.now() < end) continue;
      const why = `KAMADO_ENGINE_PORT: port ${port} of ${host} cannot be used (${(cause as NodeJS.ErrnoException).code}); stop what listens there or set another.`;
      throw new KamadoError("config_invalid", why, { cause });
    }
  }
}

function listenOnce(port: number, host: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const server = createServer().once("error", reject);
  server.listen(port, host, () => server.close(() => resolve()));
  return promise;
}
