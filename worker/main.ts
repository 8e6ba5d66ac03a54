// The composition root of a real worker: the parts that reach outside the process (connect.ts) become a worker (worker.ts), and beside it run
// history, metrics, schedules and batches. Signals and printing belong to cli/.
import { join } from "node:path";
import type { Cloud } from "./aws/resources.ts";
import { Batches } from "./batches/batches.ts";
import { isAws } from "./checks/clock-skew.ts";
import type { Config } from "./config/config.ts";
import { type ConnectedServices, connect, type How, type RunningEngine } from "./connect.ts";
import { freeBytesOf } from "./free-disk.ts";
import { type History, openHistory } from "./history/history.ts";
import type { Log } from "./logging/log.ts";
import type { WorkerFamily } from "./metrics/family.ts";
import { createQueueDepths } from "./metrics/queue-depths.ts";
import { isFifo } from "./queue/queue.ts";
import { depthOf } from "./queue/whole-queue.ts";
import { Schedules } from "./schedules/schedules.ts";
import { createResults } from "./storage/results.ts";
import { createWorker, type Worker } from "./worker.ts";

/**
 * A worker as configured. `openEngine` gives an engine that answers, or that is still loading its model; it is called when all else that a
 * person has written was found to be right, because to load a model takes long.
 */
export async function openWorker(
  config: Config,
  cloud: Cloud,
  openEngine: () => Promise<RunningEngine>,
  log: Log,
  how: How = {},
): Promise<OpenWorker> {
  const { parts, services, telemetry } = await connect(config, cloud, openEngine, log, how);
  const worker = createWorker(parts, config);
  const { dataDir, workerName, history: limits } = config;
  const history = openHistory({ folder: dataDir, worker: workerName, ...limits, log });
  worker.jobEvents.subscribe(history.listener);
  services.metrics.listen(worker.jobEvents);
  const readMetrics = metricsOf({ ...services, history }, worker);
  telemetry?.sendMetrics(readMetrics);
  const stop = () => worker.stop().finally(() => history.close());
  // In a queue in memory no job is found again.
  const isKept = how.queueFolder !== undefined || config.queueUrl !== undefined;
  const folder = isKept ? join(dataDir, "schedules") : undefined;
  const schedules = new Schedules({ ...services, file: services.schedulesFile, folder });
  const batches = openBatches(services, worker);
  return { ...worker, stop, services: { ...services, history, readMetrics }, schedules, batches };
}

/** The right to look at a queue is not needed to work, and a look costs money on AWS. */
const LOOK_AT_QUEUES_MS = { aws: 60_000, elsewhere: 5_000 };

function metricsOf(
  { config, cloud, metrics, sqs, clock, history, circuits }: Omit<Services, "readMetrics">,
  { state, power }: Pick<Worker, "state" | "power">,
) {
  const jobs = cloud.queues?.map(({ url }) => url) ?? [cloud.queueUrl];
  const others = [cloud.deliveriesQueueUrl, cloud.deadQueueUrl, cloud.deadDeliveriesQueueUrl];
  const depths = createQueueDepths({
    urls: [...new Set([...jobs, ...others.filter((url) => url !== undefined)])],
    depthOf: (url) => depthOf(sqs, url),
    everyMs: LOOK_AT_QUEUES_MS[isAws(cloud.queueUrl) ? "aws" : "elsewhere"],
    clock,
  });
  return async () =>
    metrics.families({
      state: state(),
      worker: config.workerName,
      depths: await depths(),
      diskFree: freeBytesOf(config.dataDir),
      historyDropped: history.dropped,
      openCircuits: circuits.open().length,
      power: await power?.lookNow(),
    });
}

function openBatches({ config, cloud, ...services }: ConnectedServices, worker: Worker): Batches {
  return new Batches({
    ...services,
    folder: join(config.dataDir, "batches"),
    keepDays: config.batchDays,
    results: createResults(services.bucket),
    jobEvents: worker.jobEvents,
    isFifo: isFifo({ url: cloud.queueUrl }),
  });
}

/** `schedules` and `batches` begin and stop by themselves: whoever only wants jobs run leaves them alone. */
export type OpenWorker = Worker & { services: Services; schedules: Schedules; batches: Batches };

/** What the parts with an address of their own work with, besides the worker itself. */
export type Services = ConnectedServices & {
  history: History;
  /** All metrics as they are now. */
  readMetrics(): Promise<WorkerFamily[]>;
};
