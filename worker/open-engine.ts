// The engine a command works with: one that is there already, or a supervised one of our own.
import { type AddressInfo, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import type { Config } from "./config.ts";
import { startEngine } from "./engine/supervisor.ts";
import { KamadoError } from "./errors.ts";
import type { Log } from "./log.ts";

/** `ready` resolves when an engine of our own can serve; one that was there before is asked by the gate. */
export type OpenEngine = { url: string; ready(): Promise<void>; stop(): Promise<void> };

/** The engine that is there, or a supervised one of our own. Its address is known at once; it may still be loading. */
export async function openEngine(config: Config, log: Log): Promise<OpenEngine> {
  const { url, model, mmproj, backend, script, contextSize } = config.engine;
  if (url !== undefined) return { url, ready: async () => {}, stop: async () => {} };
  const port = await freePort(config.engine.port);
  const files = backend === "scripted" ? {} : { model, mmproj };
  const engine = startEngine({
    ...files,
    backend,
    script,
    contextSize,
    port,
    // More threads than work: on a busy machine they wait for each other longer than the toy thinks.
    ...(config.engine.isDemo && { threads: 1 }),
    slots: config.slots,
    logLevel: config.logLevel,
    onLog: (line) => passOn(line, log),
  });
  engine.onChange((state) => {
    if (state === "SETUP_FAILED")
      log.error({ station: "engine" }, `the engine cannot be started: ${engine.reason}`);
    else log.info({ station: "engine", state, restarts: engine.restarts }, `engine ${state}`);
  });
  return { url: `http://127.0.0.1:${port}`, ready: () => engine.ready(), stop: () => engine.stop() };
}

/** A line of the engine's own log keeps its level (pino's numbers); what its supervisor says is a warning. */
function passOn(line: string, log: Log): void {
  const { level, msg } = logLine(line);
  const known = level >= 50 ? "error" : level >= 40 ? "warn" : level >= 30 ? "info" : "debug";
  log[known]({ station: "engine" }, msg);
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

/** The port itself when nobody listens there, any free one for 0. Throws `config_invalid`. */
async function freePort(wanted: number): Promise<number> {
  for (const end = performance.now() + PORT_WAIT_MS; ; await sleep(100)) {
    try {
      return await listenOnce(wanted);
    } catch (cause) {
      if (performance.now() < end) continue;
      const why = `KAMADO_ENGINE_PORT: port ${wanted} cannot be used (${(cause as NodeJS.ErrnoException).code}); stop what listens there or set another.`;
      throw new KamadoError("config_invalid", why, { cause });
    }
  }
}

function listenOnce(wanted: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const server = createServer().once("error", reject);
  server.listen(wanted, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo;
    server.close(() => resolve(port));
  });
  return promise;
}
