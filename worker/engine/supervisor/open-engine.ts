// The engine a command works with: a server that is there already, or a supervised engine of our own.
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Secret } from "../../config/secret.ts";
import { KamadoError } from "../../errors.ts";
import { isLoopback } from "../../http/loopback.ts";
import { whyNotFree } from "../../http/who-listens.ts";
import type { Log } from "../../logging/log.ts";
import { canRunModels, findLlamaServer } from "../install/place.ts";
import type { GivenOptions } from "../options.ts";
import type { Ready } from "../protocol.ts";
import type { Environment } from "./process.ts";
import { type Engine, startEngine } from "./supervisor.ts";

export type OpenOptions = Omit<GivenOptions, "token"> & {
  /** A server that is there already; without it an engine of our own is started. */
  url?: string | undefined;
  token?: Secret | undefined;
  host: string;
  port: number;
  dataDir: string;
  /** The engine process's. */
  environment: Environment;
};

/**
 * `ready` resolves when an engine of our own can serve, with what it says about itself. For another server it resolves at
 * once with nothing: whoever sends it requests must ask it.
 */
export type OpenEngine = {
  url: string;
  ready(): Promise<Ready | undefined>;
  /** Only for an engine of our own; see `Engine`. */
  restartSoon?: () => void;
  trouble?: () => KamadoError | undefined;
  stop(): Promise<void>;
};

/**
 * Resolves when the engine listens. Its model may still be loading, but its options and the model's files have been checked: rejects
 * with `config_invalid` when they can never work.
 */
export async function openEngine({ url, ...options }: OpenOptions, log: Log): Promise<OpenEngine> {
  if (url !== undefined) return { url, ready: async () => undefined, stop: async () => {} };
  const { host, port, token } = options;
  checkHost(host, token);
  if (options.backend !== "scripted") checkInstalled();
  if (port !== 0) await untilFree(port, host);
  let started: Engine | undefined;
  const engine = startEngine({
    ...options,
    llamaServer: llamaServerFor(options),
    token: token?.reveal(),
    onLog: (line) => passOn(line, log, started),
  });
  started = engine;
  logStates(engine, log);
  try {
    const { port: own } = new URL(await engine.listening());
    return {
      url: `http://${addressOf(host)}:${own}`,
      ready: () => engine.ready().then(() => engine.info),
      restartSoon: () => engine.restartSoon(),
      trouble: () => engine.trouble,
      stop: () => engine.stop(),
    };
  } catch (thrown) {
    await engine.stop();
    throw thrown;
  }
}

/** Throws `config_invalid` where an engine cannot run at all, which no restart changes. */
function checkInstalled(): void {
  if (canRunModels()) return;
  throw new KamadoError(
    "config_invalid",
    "KAMADO_ENGINE_URL: it must be set, because this installation has no engine of its own.",
    {
      hint: "A container with the worker alone uses an engine outside, such as http://host.containers.internal:4781 (docs/containers.md).",
    },
  );
}

/** Throws `config_invalid` for an address that others can reach, when there is no token. */
function checkHost(host: string, token: Secret | undefined): void {
  if (isLoopback(host) || token !== undefined) return;
  const why = `KAMADO_ENGINE_HOST: ${host} can be reached from outside; set KAMADO_ENGINE_TOKEN or KAMADO_ENGINE_TOKEN_FILE too.`;
  throw new KamadoError("config_invalid", why);
}

/** The loopback address of a server that listens on all addresses; any other host as it stands in a URL. */
function addressOf(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}

/** Undefined for backends that do not need it: the engine refuses a path where there is no file. */
function llamaServerFor({ backend, llamaServer, dataDir }: OpenOptions): string | undefined {
  if (backend !== "auto" && backend !== "llama-server") return undefined;
  return llamaServer ?? findLlamaServer(dataDir);
}

function logStates(engine: Engine, log: Log): void {
  let isGivenUp = false;
  engine.onChange((state) => {
    // Whoever waits for it to be ready gets the error, and says it once.
    isGivenUp ||= state === "SETUP_FAILED";
    const { restarts } = engine;
    log[isGivenUp ? "debug" : "info"]({ stage: "engine", ...(restarts > 0 && { restarts }) }, state);
  });
}

/**
 * A line of the engine's own log keeps its level (pino's numbers). Any other line is a warning. What native libraries print while a
 * model is loaded is in the error, if that fails.
 */
function passOn(line: string, log: Log, engine: Engine | undefined): void {
  const { level, msg, isNative } = logLine(line);
  const known = level >= 50 ? "error" : level >= 40 ? "warn" : level >= 30 ? "info" : "debug";
  const isLoading = isNative && engine?.state === "STARTING";
  log[isLoading ? "debug" : known]({ stage: "engine" }, msg);
}

function logLine(line: string): { level: number; msg: string; isNative: boolean } {
  try {
    const { level = 20, native, msg = native ?? line } = JSON.parse(line) as Partial<PinoLine>;
    return { level, msg, isNative: native !== undefined };
  } catch {
    return { level: 40, msg: line, isNative: /^\S+: /.test(line) };
  }
}

type PinoLine = { level: number; msg: string; native: string };

/** An engine whose worker was just killed needs a moment to notice and to leave its port. */
const PORT_WAIT_MS = 3_000;

/** Resolves when nothing listens on the port. Throws `config_invalid`. */
async function untilFree(port: number, host: string): Promise<void> {
  for (const end = performance.now() + PORT_WAIT_MS; ; await sleep(100)) {
    try {
      return await listenOnce(port, host);
    } catch (cause) {
      if (performance.now() < end) continue;
      const why = await whyNotFree(
        (cause as NodeJS.ErrnoException).code,
        `http://${addressOf(host)}:${port}`,
      );
      const words = `KAMADO_ENGINE_PORT: port ${port} of ${host} ${why}; stop what listens there or set another.`;
      throw new KamadoError("config_invalid", words, { cause });
    }
  }
}

function listenOnce(port: number, host: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const server = createServer().once("error", reject);
  server.listen(port, host, () => server.close(() => resolve()));
  return promise;
}
