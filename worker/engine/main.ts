// The engine process: flags -> HTTP -> model -> signals. It listens before it loads, so that /health can tell what is going
// on. A supervisor hears its events and its log on a pipe of their own; without one they stand on stdout and stderr.
import { closeSync, openSync, writeSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { serve } from "@hono/node-server";
import { type Logger, pino } from "pino";
import { KamadoError, toKamadoError } from "../errors.ts";
import { type Flags, parseFlags } from "./options.ts";
import { Scheduler } from "./scheduler/scheduler.ts";
import { createApp } from "./server/app.ts";
import { DEFAULT_SLOTS } from "./sizing/choose.ts";
import { openSized } from "./sizing/open-sized.ts";
import { PIPE } from "./supervisor/process.ts";

/** How long running requests may go on after SIGTERM. */
const DRAIN_MS = 10_000;
/** The model does not fit into this machine's memory: the same flags will fail again. */
const NO_ROOM = 3;

function flagsOrExit(): Flags {
  try {
    return parseFlags(process.argv.slice(2));
  } catch (thrown) {
    if (!(thrown instanceof KamadoError)) throw thrown;
    process.stderr.write(`${thrown.message}\n`);
    process.exit(2);
  }
}

/** What native libraries print must not reach the terminal or a log: it is whole prompts. */
function outlets(): { out: number; err: number } {
  if (isSupervised) return { out: PIPE, err: PIPE };
  return flags.backend === "llama-node" ? quiet() : { out: 1, err: 2 };
}

// The model wants the machine's memory, and this process only passes words on: it collects its garbage early.
for (const flag of ["--semi-space-growth-factor=1", "--heap-growing-percent=10"]) setFlagsFromString(flag);

const flags = flagsOrExit();
const isSupervised = process.connected;
const { out, err } = outlets();
const say = (event: string, more: Record<string, unknown> = {}) =>
  writeSync(out, `${JSON.stringify({ event, ...more })}\n`);
const log = pino(
  { level: flags.logLevel, base: { part: "engine" } },
  pino.destination({ fd: err, sync: true }),
);
const scheduler = new Scheduler({
  ...flags,
  slots: flags.slots === "auto" ? DEFAULT_SLOTS : flags.slots,
  stallMs: flags.stallSeconds * 1_000,
});
const app = createApp({ scheduler, log, token: flags.token });

const server = serve({ fetch: app.fetch, hostname: flags.host, port: flags.port }, ({ port }) => {
  say("listening", { url: `http://${flags.host.includes(":") ? `[${flags.host}]` : flags.host}:${port}` });
  void load(log);
});
server.on("error", (error) => fatal(`Cannot listen on ${flags.host}:${flags.port}: ${error.message}`));
process.on("uncaughtException", (error) => fatal(error.stack ?? error.message));

function fatal(message: string): never {
  tellWhy(message);
  process.exit(1);
}

function tellWhy(reason: string): void {
  if (isSupervised) say("dying", { reason });
  else writeSync(err, `${reason}\n`);
}

async function load(log: Logger): Promise<void> {
  let calibration: string[] | undefined;
  try {
    await scheduler.load(async () => {
      const opened = await openSized(flags, log, (doing) => (scheduler.loading = doing));
      scheduler.estimatedBytes = opened.estimatedBytes;
      calibration = opened.calibration;
      return opened.backend;
    });
    log.info({ ...scheduler.info }, "ready");
    say("ready", { ...scheduler.info, memory: scheduler.health().memory, calibration });
  } catch (thrown) {
    const { code, message } = toKamadoError(thrown, "engine_unavailable");
    log.error({ err: thrown }, "the model could not be loaded");
    say("failed", { code, reason: message });
    if (code !== "memory_insufficient") return;
    tellWhy(`Error: ${message}`);
    process.exit(NO_ROOM);
  }
}

let stopping = false;
async function stop(why: string): Promise<void> {
  if (stopping) return;
  stopping = true;
  log.info({ why }, "stopping");
  server.close();
  await scheduler.drain(AbortSignal.timeout(DRAIN_MS));
  await Promise.race([scheduler.close(), new Promise((resolve) => setTimeout(resolve, 2_000))]);
  process.exit(0);
}
process.on("SIGTERM", () => void stop("SIGTERM"));
// Ctrl-C reaches parent and child alike; the parent still needs the engine for what it finishes.
process.on("SIGINT", () => void (process.connected || stop("SIGINT")));
// The channel to the parent closes when the parent dies, however it dies: nobody is left to stop this process then.
process.on("disconnect", () => {
  // Native threads still work, and a plain exit would take their memory away under them: a crash, with its report.
  process.once("exit", () => process.kill(process.pid, "SIGKILL"));
  process.exit(0);
});

// Keeps native libraries from writing to this process's stdout and stderr, which they do past every log callback.
/**
 * Points stdout and stderr at nothing for everyone who writes to them by number, and returns two new numbers that still lead
 * where they led. Where the system cannot open them a second time (a socket), all stays as it is.
 */
export function quiet(): { out: number; err: number } {
  let out: number;
  let err: number;
  try {
    out = openSync("/dev/fd/1", "a");
    err = openSync("/dev/fd/2", "a");
  } catch {
    return { out: 1, err: 2 };
  }
  for (const standard of [1, 2]) {
    closeSync(standard);
    // The system gives the lowest free number, which is the one just closed.
    openSync("/dev/null", "a");
  }
  return { out, err };
}
