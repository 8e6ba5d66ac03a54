// The composition root of a real worker: from the configuration to the parts that reach outside the process (AWS, the engine,
// the network). worker.ts puts a worker together from them. Signals and printing belong to cli/.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type AnyKinds, createClient } from "../client/client.ts";
import { systemClock } from "./async/clock.ts";
import { type AwsClients, makeAwsClients } from "./aws/clients.ts";
import type { Cloud } from "./aws/resources.ts";
import { Batches } from "./batches/batches.ts";
import { clockSkewMs, isAws } from "./checks/clock-skew.ts";
import { startCheck } from "./checks/start-checks.ts";
import { type Config, HANDLERS, HOME, serviceEnvironment } from "./config/config.ts";
import { createDeliver } from "./deliver/by-kind.ts";
import { Circuits } from "./deliver/circuit.ts";
import { snsTopic, type Topic } from "./deliver/sns.ts";
import type { KamadoError } from "./errors.ts";
import { freeBytesOf } from "./free-disk.ts";
import { type History, openHistory } from "./history/history.ts";
import { loadRegistry, type OnLoading, type Registry } from "./job/registry.ts";
import type { SendJobs } from "./job/send-jobs.ts";
import { watchHandlers } from "./job/watch-handlers.ts";
import type { Log } from "./logging/log.ts";
import type { WorkerFamily } from "./metrics/family.ts";
import { createQueueDepths } from "./metrics/queue-depths.ts";
import { WorkerMetrics } from "./metrics/worker-metrics.ts";
import { EngineClient } from "./model/engine-client.ts";
import { type Destinations, loadDestinations } from "./outbound/destinations.ts";
import { createOutbound, type Outbound } from "./outbound/outbound.ts";
import { createPower } from "./power/power.ts";
import { createPowerReader, createRun, sourcesOf } from "./power/power-reader.ts";
import { isFifo } from "./queue/queue.ts";
import { callTimeoutMs, sqsQueue } from "./queue/sqs.ts";
import { depthOf } from "./queue/whole-queue.ts";
import { createHandlerServices } from "./runner/handler-context.ts";
import { loadRules } from "./runner/read-message.ts";
import { Schedules } from "./schedules/schedules.ts";
import { loadSchedules, type SchedulesFile } from "./schedules/schedules-file.ts";
import { createReadableObjects } from "./storage/readable-objects.ts";
import { createResults } from "./storage/results.ts";
import { s3Bucket } from "./storage/s3.ts";
import { aroundRequests } from "./telemetry/engine-requests.ts";
import type { Telemetry } from "./telemetry/open-telemetry.ts";
import { DailyUsage } from "./tenants/daily-usage.ts";
import { passOn } from "./tracing/tracer.ts";
import { checkWebhook } from "./trouble/channels.ts";
import { createWorker, type Parts, type Worker } from "./worker.ts";

type How = HandlerOptions & {
  /** Holds the queue and the bucket, where they are on this machine's disk. */
  queueFolder?: string | undefined;
};

/** `restartSoon` and `trouble` where the engine is one of our own. */
type RunningEngine = Pick<Parts["engine"], "url" | "restartSoon" | "trouble">;

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

/** What the parts with an address of their own (jobs API, pages, batches, MCP) work with, besides the worker itself. */
export type Services = Pick<Parts, "bucket" | "objects" | "rules" | "clock" | "log"> & {
  config: Config;
  cloud: Cloud;
  send: SendJobs;
  registry: Registry;
  destinations: Destinations;
  schedulesFile: SchedulesFile;
  outbound: Outbound;
  engine: EngineClient;
  sqs: AwsClients["sqs"];
  history: History;
  circuits: Circuits;
  topic: Topic;
  metrics: WorkerMetrics;
  /** All metrics as they are now. */
  readMetrics(): Promise<WorkerFamily[]>;
};
type ConnectedServices = Omit<Services, "history" | "readMetrics">;

/** The worker sends jobs as everybody does. */
function sendJobs({ sqs, s3 }: AwsClients, { queueUrl }: Cloud, { bucket }: Config): SendJobs {
  const client = createClient<AnyKinds>({ queueUrl, bucket, sqs, s3 });
  return {
    send: ({ kind, input, ...options }) => client.enqueue(kind, input, options),
    sendMany: (jobs) => client.enqueueMany(jobs),
    cancel: (id) => client.cancel(id),
    upload: (file, options) => client.upload(file, options),
  };
}

/** Loaded only where there is a collector. */
async function openExporter({ telemetry: settings, workerName: worker }: Config, log: Log) {
  if (settings === undefined) return undefined;
  const { version } = JSON.parse(readFileSync(join(HOME, "package.json"), "utf8"));
  const { openTelemetry } = await import("./telemetry/open-telemetry.ts");
  return openTelemetry({ settings, worker, version, log });
}

type HandlerOptions = {
  /** Handlers are exchanged when their files change. [false] */
  watch?: boolean;
  onLoading?: OnLoading | undefined;
};

async function openHandlers({ ownHandlers }: Config, { watch, onLoading }: HandlerOptions, log: Log) {
  const stage = "handlers";
  const broken = (error: KamadoError, isKept = false) => {
    const fields = { stage, error: error.code, err: error.cause };
    log.error(fields, `${error.message}${isKept ? " The code from before stays in use." : ""}`);
  };
  if (!watch)
    return { registry: await loadRegistry(HANDLERS, broken, ownHandlers, onLoading), close: () => {} };
  return watchHandlers(ownHandlers === undefined ? [HANDLERS] : [HANDLERS, ownHandlers], {
    broken,
    loading: onLoading,
    loaded: (kind, file) => log.info({ stage, kind }, `${file} has changed: new jobs run the new code`),
    removed: (kind) => log.warn({ stage, kind }, "its file is gone: jobs of this kind are dead-lettered"),
  });
}

async function connect(
  config: Config,
  cloud: Cloud,
  openEngine: () => Promise<RunningEngine>,
  log: Log,
  { queueFolder, ...options }: How,
): Promise<{ parts: Parts; services: ConnectedServices; telemetry: Telemetry | undefined }> {
  const { registry, close: unwatch } = await openHandlers(config, options, log);
  const rules = loadRules(config.rulesFile, [...registry.keys()], config.bucket);
  const destinations = loadDestinations(config.destinationsFile);
  const schedulesFile = loadSchedules(config.schedulesFile, registry);
  if (config.trouble.url) checkWebhook(config.trouble.url, destinations);
  const engine = await openEngine();
  const clients = makeAwsClients(cloud.aws);
  const call = callTimeoutMs(config.visibilitySeconds);
  const queueAt = (url: string) => sqsQueue(clients.sqs, url, { call });
  const queues = cloud.queues ?? [{ url: cloud.queueUrl, weight: 1 }];
  const buckets = new Map(config.buckets.map((name) => [name, s3Bucket(clients.s3, name)]));
  const objects = createReadableObjects({ own: config.bucket, buckets, listed: config.inputPrefixes, rules });
  const outbound = createOutbound({ destinations });
  const topic = snsTopic(clients.sns);
  const client = new EngineClient({
    url: engine.url,
    token: config.engine.token?.reveal(),
    model: config.engine.remoteModel,
  });
  const file = join(config.dataDir, "usage.db");
  const usage = new DailyUsage({ budgets: config.dayBudgets, file, clock: systemClock, log });
  const circuits = new Circuits({ clock: systemClock, log });
  const metrics = new WorkerMetrics({ isKind: (kind) => registry.has(kind) });
  const telemetry = await openExporter(config, log);
  const tracer = telemetry?.tracer ?? passOn;
  const around = aroundRequests({ tracer, metrics, url: engine.url });
  const parts: Parts = {
    queues: {
      jobs: queues.map(({ url, weight }) => ({ queue: queueAt(url), weight })),
      dead: metrics.counting("jobs", queueAt(cloud.deadQueueUrl)),
      deliveries: cloud.deliveriesQueueUrl === undefined ? undefined : queueAt(cloud.deliveriesQueueUrl),
      deadDeliveries: metrics.counting("deliveries", queueAt(cloud.deadDeliveriesQueueUrl)),
    },
    bucket: buckets.get(config.bucket)!,
    objects,
    rules,
    handlers: createHandlerServices({
      ...config,
      registry,
      objects,
      outbound,
      destinations,
      client,
      around,
    }),
    engine: {
      url: engine.url,
      model: config.engine.model.replace(/^.*\//, ""),
      isDemo: config.engine.isDemo,
      health: () => client.health(),
      restartSoon: engine.restartSoon,
      trouble: engine.trouble,
    },
    deliver: createDeliver({
      circuits,
      outbound,
      topic,
      queueFor: queueAt,
      registry,
      log,
      destinations,
      awsEndpoint: cloud.aws.endpoint,
      ownQueues: [
        ...queues.map(({ url }) => url),
        ...(cloud.deliveriesQueueUrl === undefined ? [] : [cloud.deliveriesQueueUrl]),
        cloud.deadQueueUrl,
        cloud.deadDeliveriesQueueUrl,
      ],
    }),
    power: createPower({
      settings: config.power,
      reader: createPowerReader({
        sources: sourcesOf(process.platform),
        run: createRun(serviceEnvironment()),
        clock: systemClock,
      }),
      clock: systemClock,
      log,
    }),
    startCheck: () =>
      startCheck({
        sqs: clients.sqs,
        queues: queues.map(({ url }) => url),
        region: cloud.aws.region,
        clockSkew:
          cloud.aws.endpoint === undefined && isAws(cloud.queueUrl)
            ? () => clockSkewMs(cloud.queueUrl)
            : undefined,
        folder: queueFolder,
      }),
    usage,
    topicArn: cloud.topicArn,
    tracer,
    clock: systemClock,
    log,
    async close() {
      unwatch();
      usage.close();
      await telemetry?.stop();
      await outbound.close();
      await client.close();
      clients.destroy();
    },
  };
  const send = sendJobs(clients, cloud, config);
  const { sqs } = clients;
  const own = { config, cloud, send, registry, destinations, schedulesFile, outbound, sqs, circuits, topic };
  return { parts, services: { ...parts, ...own, engine: client, metrics }, telemetry };
}
