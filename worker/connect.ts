// The parts of a worker that reach outside the process (AWS, the engine, the network, files that a person has written), made from the
// configuration.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type AnyKinds, createClient } from "../client/client.ts";
import { systemClock } from "./async/clock.ts";
import { type AwsClients, makeAwsClients } from "./aws/clients.ts";
import type { Cloud } from "./aws/resources.ts";
import { clockSkewMs, isAws } from "./checks/clock-skew.ts";
import { startCheck } from "./checks/start-checks.ts";
import { type Config, HANDLERS, HOME, serviceEnvironment } from "./config/config.ts";
import { createDeliver } from "./deliver/by-kind.ts";
import { Circuits } from "./deliver/circuit.ts";
import { snsTopic, type Topic } from "./deliver/sns.ts";
import type { KamadoError } from "./errors.ts";
import { loadRegistry, type OnLoading, type Registry } from "./job/registry.ts";
import type { SendJobs } from "./job/send-jobs.ts";
import { watchHandlers } from "./job/watch-handlers.ts";
import type { Log } from "./logging/log.ts";
import { WorkerMetrics } from "./metrics/worker-metrics.ts";
import { EngineClient } from "./model/engine-client.ts";
import { Rates } from "./model/rates.ts";
import { readRates, writeRates } from "./model/rates-file.ts";
import { type Destinations, loadDestinations } from "./outbound/destinations.ts";
import { createOutbound, type Outbound } from "./outbound/outbound.ts";
import { createPower } from "./power/power.ts";
import { createPowerReader, createRun, sourcesOf } from "./power/power-reader.ts";
import { callTimeoutMs, sqsQueue } from "./queue/sqs.ts";
import { createHandlerServices } from "./runner/handler-context.ts";
import { loadRules } from "./runner/read-message.ts";
import { loadSchedules, type SchedulesFile } from "./schedules/schedules-file.ts";
import { openSearch } from "./search/search.ts";
import { createCheckpoints } from "./storage/checkpoints.ts";
import { createReadableObjects } from "./storage/readable-objects.ts";
import { s3Bucket } from "./storage/s3.ts";
import { aroundRequests } from "./telemetry/engine-requests.ts";
import type { Telemetry } from "./telemetry/open-telemetry.ts";
import { DailyUsage } from "./tenants/daily-usage.ts";
import { passOn } from "./tracing/tracer.ts";
import { checkWebhook } from "./trouble/channels.ts";
import type { Parts } from "./worker.ts";

export type How = HandlerOptions & {
  /** Holds the queue and the bucket, where they are on this machine's disk. */
  queueFolder?: string | undefined;
};

/** `restartSoon` and `trouble` where the engine is one of our own. */
export type RunningEngine = Pick<Parts["engine"], "url" | "restartSoon" | "trouble">;

/** What the parts with an address of their own (jobs API, pages, batches, MCP) work with, besides the worker itself. */
export type ConnectedServices = Pick<Parts, "bucket" | "objects" | "rules" | "clock" | "log"> & {
  config: Config;
  cloud: Cloud;
  send: SendJobs;
  registry: Registry;
  destinations: Destinations;
  schedulesFile: SchedulesFile;
  outbound: Outbound;
  engine: EngineClient;
  sqs: AwsClients["sqs"];
  circuits: Circuits;
  topic: Topic;
  metrics: WorkerMetrics;
};

/** Throws `config_invalid` for what a person has written wrong, before the engine is opened. */
export async function connect(
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
  const rates = new Rates(systemClock, readRates(config.dataDir));
  const search = config.webSearch && openSearch(config.webSearch, { destinations, clock: systemClock });
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
  const bucket = buckets.get(config.bucket)!;
  const parts: Parts = {
    queues: {
      jobs: queues.map(({ url, weight }) => ({ queue: queueAt(url), weight })),
      dead: metrics.counting("jobs", queueAt(cloud.deadQueueUrl)),
      deliveries: cloud.deliveriesQueueUrl === undefined ? undefined : queueAt(cloud.deliveriesQueueUrl),
      deadDeliveries: metrics.counting("deliveries", queueAt(cloud.deadDeliveriesQueueUrl)),
    },
    bucket,
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
      search,
      rates,
      checkpoints: createCheckpoints({ bucket, clock: systemClock, log }),
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
      writeRates(config.dataDir, rates.measured());
      usage.close();
      await telemetry?.stop();
      await outbound.close();
      await search?.close();
      await client.close();
      clients.destroy();
    },
  };
  const send = sendJobs(clients, cloud, config);
  const { sqs } = clients;
  const own = { config, cloud, send, registry, destinations, schedulesFile, outbound, sqs, circuits, topic };
  return { parts, services: { ...parts, ...own, engine: client, metrics }, telemetry };
}

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
