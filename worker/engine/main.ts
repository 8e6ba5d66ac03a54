// The engine process. It takes its options from its supervisor, listens, loads the model and serves until it is stopped.
// It listens before it loads, so that /health can say what is going on. engine/supervisor starts it; nothing else does.
import { once } from "node:events";
import { writeSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { serve } from "@hono/node-server";
import { pino } from "pino";
import { KamadoError, toKamadoError } from "../errors.ts";
import { SERVE_OPTIONS } from "../http/server-limits.ts";
import { templateWarning } from "./generation/chat-template.ts";
import { loadFailure } from "./load-failure.ts";
import { type EngineOptions, parseOptions } from "./options.ts";
import { type EngineEvent, EXIT, type LastEvent, PIPE, type SlotsFrom } from "./protocol.ts";
import { Scheduler } from "./scheduler/scheduler.ts";
import { createApp } from "./server/app.ts";
import { Metrics } from "./server/metrics.ts";
import { DEFAULT_SLOTS } from "./sizing/choose.ts";
import { Arrivals, measureApart, measureWhileIdle } from "./sizing/idle-calibration.ts";
import { keepForNextStart, type Opened, openSized } from "./sizing/open-sized.ts";

/** How long running requests may go on after SIGTERM. */
const DRAIN_MS = 10_000;
/** How long freeing the model may take after that. */
const CLOSE_MS = 2_000;
/** How long their clients may take to read that they were cut off. */
const CUT_MS = 500;

// The model wants the machine's memory, and this process only passes text on: it collects its garbage early.
for (const flag of ["--semi-space-growth-factor=1", "--heap-growing-percent=10"]) setFlagsFromString(flag);

// The channel closes when the supervisor's process dies, however it dies. Nobody could stop this process then, so it ends.
process.on("disconnect", () => {
  // Native threads may still run. A plain exit takes their memory away from under them, which ends in a crash report.
  process.once("exit", () => process.kill(process.pid, "SIGKILL"));
  process.exit(0);
});

const options = await receiveOptions();
const log = pino(
  { level: options.logLevel, base: { part: "engine" } },
  pino.destination({ fd: PIPE, sync: true }),
);
const metrics = new Metrics();
const arrivals = new Arrivals();
const stopping = new AbortController();
const scheduler = new Scheduler({
  maxQueue: options.maxQueue,
  slots: options.slots === "auto" ? DEFAULT_SLOTS : options.slots,
  stallMs: options.stallSeconds * 1_000,
  repetitionStop: options.repetitionStop,
  onAnswered: (...answer) => metrics.answered(...answer),
  onRequest: () => arrivals.came(),
  log,
});
const app = createApp({ scheduler, metrics, log, token: options.token, names: options.names });

const { host } = options;
const listen = { ...SERVE_OPTIONS, hostname: host, port: options.port };
const server = serve({ fetch: app.fetch, ...listen }, ({ port }) => {
  send({ event: "listening", url: `http://${host.includes(":") ? `[${host}]` : host}:${port}` });
  void load();
});
server.on("error", (error) => end(1, `Cannot listen on ${host}:${options.port}: ${error.message}`));
process.on("uncaughtException", (error) => end(1, error.stack ?? error.message));
process.on("SIGTERM", () => void stop());
// Ctrl-C reaches a terminal's whole process group. The worker still needs the engine for the jobs it finishes.
process.on("SIGINT", () => {});
process.on("SIGHUP", () => {});

async function receiveOptions(): Promise<EngineOptions> {
  if (process.send === undefined) {
    process.stderr.write("This process is started by its supervisor: use `kamado engine`.\n");
    process.exit(EXIT.badOptions);
  }
  // The supervisor may have died before this process was listening for it.
  if (!process.connected) process.exit(0);
  const [given] = await once(process, "message");
  try {
    const options = parseOptions(given);
    // Loads the library that reads models, which is half of what this process loads: not for an engine without a model, nor in a container with the worker alone.
    if (options.backend !== "scripted")
      await (await import("./generation/model-check.ts")).checkFiles(options);
    return options;
  } catch (thrown) {
    const error = toKamadoError(thrown, "config_invalid");
    fail(error);
    return end(EXIT.badOptions, error.message);
  }
}

async function load(): Promise<void> {
  let opened: Opened | undefined;
  try {
    await scheduler.load(async () => {
      opened = await openSized(options, log, (doing) => (scheduler.loading = doing));
      scheduler.estimatedBytes = opened.estimatedBytes;
      scheduler.slotsFrom = opened.slotsFrom;
      return opened.backend;
    });
    const info = scheduler.info!;
    log.debug(info, "ready");
    const warning = info.template && templateWarning(info.template);
    if (warning !== undefined) log.warn(warning);
    const { calibration, slotsFrom, wasDisturbed } = opened!;
    send({ event: "ready", ...info, memory: scheduler.health().memory, slotsFrom, calibration });
    if (wasDisturbed) void measureAgain(slotsFrom);
  } catch (thrown) {
    const error = thrown instanceof KamadoError ? thrown : loadFailure((thrown as Error).message, []);
    // The supervisor says it, once for all tries.
    log.debug({ err: thrown }, "the model could not be loaded");
    fail(error);
    if (error.code === "memory_insufficient") end(EXIT.noMemory, error.message);
  }
}

/** For the next start: to open the model again with other slots would keep requests waiting. */
async function measureAgain(slotsFrom: SlotsFrom): Promise<void> {
  const measured = await measureWhileIdle({
    arrivals,
    isBusy: () => scheduler.queue.busy + scheduler.queue.waiting > 0,
    measure: (signal) => measureApart(options, scheduler.estimatedBytes, signal),
    stopping: stopping.signal,
  });
  if (measured === undefined) return;
  const next = await keepForNextStart(options, measured, log);
  scheduler.slotsFrom = { ...slotsFrom, next };
  log.info(next, `measured again while idle: the next start takes ${next.slots} slots`);
}

async function stop(): Promise<void> {
  if (stopping.signal.aborted) return;
  stopping.abort();
  log.info("stopping");
  const closed = new Promise((resolve) => server.close(resolve));
  await scheduler.drain(AbortSignal.timeout(DRAIN_MS));
  // An answer that breaks off without a word would look as if it had ended the engine.
  scheduler.cut();
  await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, CUT_MS))]);
  await Promise.race([scheduler.close(), new Promise((resolve) => setTimeout(resolve, CLOSE_MS))]);
  process.exit(0);
}

function fail({ code, message, hint }: KamadoError): void {
  send({ event: "failed", code, reason: message, hint });
}

function end(code: number, reason: string): never {
  send({ event: "dying", reason });
  process.exit(code);
}

function send(event: EngineEvent | LastEvent): void {
  writeSync(PIPE, `${JSON.stringify(event)}\n`);
}
