// What `serve` and `worker` share: an engine, a worker and its page run until a signal comes, and stop in order. Meanwhile a file in the
// data folder says where they are.
import { pathToFileURL } from "node:url";
import { type Watch, watchEventLoop } from "../async/event-loop-watch.ts";
import type { Cloud } from "../aws/resources.ts";
import type { Config } from "../config/config.ts";
import { withDisk } from "../console/data-disk.ts";
import { startWeb } from "../console/server.ts";
import type { Ready } from "../engine/protocol.ts";
import { type OpenEngine, openEngine } from "../engine/supervisor/open-engine.ts";
import { toKamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import { openWorker } from "../main.ts";
import { createMounts } from "../mounts.ts";
import { withPower } from "../power/power.ts";
import type { Condition } from "../trouble/conditions.ts";
import { openTrouble } from "../trouble/open-trouble.ts";
import { engineOptions } from "./engine-options.ts";
import { announceService } from "./running-service.ts";
import { untilStopped } from "./until-stopped.ts";

type Worker = Awaited<ReturnType<typeof openWorker>>;
type Started = { engine: OpenEngine; web: { url: string } };
type Hooks = {
  /** The queue is kept in the data folder. [false] */
  isStored?: boolean;
  /** Called once, when the worker is there. The engine may still load its model, or fail to. */
  onStarted(started: Started): void;
  /** Called once, when the engine answers for the first time, with what it says of itself if it is our own. */
  onReady?(started: Started, info: Ready | undefined): void;
  /** Called when the worker has begun to stop: ends its polls, where the queue is our own. */
  endPolls?: (() => void) | undefined;
  /** Handlers are exchanged when their files change. */
  watch?: boolean;
};

/**
 * Resolves when all of it has stopped. Rejects, after an orderly stop, when the engine is given up: without it no job can ever run.
 */
export async function runUntilStopped(
  config: Config,
  cloud: Cloud,
  log: Log,
  { onStarted, onReady, endPolls, isStored = false, watch = false }: Hooks,
): Promise<void> {
  // Files of handlers are code too, so both begin before they are loaded.
  const eventLoop = watchOf(config);
  if (config.ownHandlers !== undefined) surviveErrorsIn(config.ownHandlers, log);
  const { engine, worker } = await openBoth(config, cloud, log, {
    watch,
    queueFolder: isStored ? config.dataDir : undefined,
    onLoading: eventLoop && noteFiles(eventLoop),
  });
  if (eventLoop) noteJobs(worker, eventLoop);
  const ofWorker = () => withDisk(worker.state(), config.dataDir, { holdsQueue: isStored });
  const state = () => withPower(ofWorker(), worker.power);
  const trouble = openTrouble(worker.services, {
    state: ofWorker,
    askEngine: () => worker.health.engine.suspect(),
  });
  worker.jobEvents.subscribe((event) => trouble.onEvent(event));
  const web = await startWeb({
    ...config.web,
    dataDir: config.dataDir,
    log,
    state,
    mounts: createMounts({ ...worker, state }),
  });
  const stopped = untilStopped(() => worker.cut());
  worker.start();
  worker.schedules.start();
  trouble.start();
  worker.batches.start();
  const isLocal = config.queueUrl === undefined;
  const started = { engineUrl: engine.url, webUrl: web.url, isLocal };
  const withdraw = await announceService(config, cloud, started, log);
  onStarted({ engine, web });
  const isStopping = new AbortController();
  void untilReady(engine, worker, isStopping.signal).then(
    (info) => {
      if (!isStopping.signal.aborted) onReady?.({ engine, web }, info);
    },
    () => {},
  );
  const failure = await Promise.race([stopped.then(() => undefined), failureOf(engine)]);
  isStopping.abort();
  withdraw();
  // A queue elsewhere may give messages to a poll that was broken off, and nobody would see them until they are visible again.
  const poll = endPolls ? "" : `; the open poll of the queue may take ${config.pollSeconds} s to end`;
  log.info(
    { stage: "stop" },
    `stopping: running jobs are finished, waiting messages go back to the queue${poll}`,
  );
  if (failure !== undefined) await trouble.tellLast(givenUp(failure));
  await trouble.stop();
  const isStopped = Promise.all([worker.schedules.stop(), worker.batches.stop(), worker.stop()]);
  endPolls?.();
  await isStopped;
  await Promise.all([engine.stop(), web.stop()]);
  if (failure !== undefined) throw failure;
}

/**
 * A promise that a handler does not await, or a timer that it starts, may fail when nobody can catch it. That would end the worker and
 * every job in it. What fails in code of Kamado still ends it.
 */
function surviveErrorsIn(folder: string, log: Log): void {
  const places = [folder, pathToFileURL(folder).href];
  process.on("uncaughtException", (error: unknown) => {
    const stack = error instanceof Error ? (error.stack ?? "") : "";
    if (places.some((place) => stack.includes(place)))
      return log.error(
        { stage: "handlers", error: "handler_failed", err: error },
        `a handler failed outside of its run: ${(error as Error).message}. Await every promise, and catch what a timer may throw.`,
      );
    process.stderr.write(`${stack || String(error)}\n`);
    process.exit(1);
  });
}

/** The kinds that come with Kamado pause; a thread costs about 9 MB. */
const watchOf = ({ stallSeconds: seconds, ownHandlers }: Config): Watch | undefined =>
  seconds > 0 && ownHandlers !== undefined
    ? watchEventLoop({ seconds, json: process.stderr.isTTY !== true })
    : undefined;

const noteFiles = (eventLoop: Watch) => (file: string) => {
  eventLoop.note(file, `the file ${file}, which is loaded`);
  return () => eventLoop.over(file);
};

function noteJobs({ jobEvents }: Worker, eventLoop: Watch): void {
  jobEvents.subscribe((event) => {
    if (event.stage === "received") eventLoop.note(event.job, `${event.kind ?? "a job"} (${event.job})`);
    if (event.stage === "ended") eventLoop.over(event.job);
  });
}

/** The engine is opened in the midst of it: after what is written in files was checked, before what needs its address. */
async function openBoth(
  config: Config,
  cloud: Cloud,
  log: Log,
  how: Parameters<typeof openWorker>[4],
): Promise<{ engine: OpenEngine; worker: Worker }> {
  let engine: OpenEngine | undefined;
  const open = async () => (engine = await openEngine(engineOptions(config), log));
  const worker = await openWorker(config, cloud, open, log, how);
  return { engine: engine!, worker };
}

/** Of another server only its answers tell. */
async function untilReady(
  engine: OpenEngine,
  { health }: Worker,
  signal: AbortSignal,
): Promise<Ready | undefined> {
  const info = await engine.ready();
  await health.engine.healthy(signal);
  return info;
}

function givenUp(failure: unknown): Condition {
  const { code, message, hint } = toKamadoError(failure, "engine_unavailable");
  return {
    name: "engine",
    title: "The worker ends without its engine",
    message: `${code}: ${message}`,
    hint,
  };
}

/** Why the engine was given up before it was ever ready; nothing comes of it otherwise. */
function failureOf({ ready }: OpenEngine): Promise<unknown> {
  return new Promise((resolve) => void ready().catch(resolve));
}
