// The composition root of a real worker: from the configuration to the parts that reach outside the process (AWS, the engine,
// the network). worker.ts puts a worker together from them. Signals and printing belong to cli/.

import { type AnyKinds, createClient } from "../client/client.ts";
import { systemClock } from "./async/clock.ts";
import { type AwsClients, makeAwsClients } from "./aws/clients.ts";
import type { Cloud } from "./aws/resources.ts";
import { clockSkewMs, isAws } from "./checks/clock-skew.ts";
import { startCheck } from "./checks/start-checks.ts";
import { type Config, HANDLERS } from "./config/config.ts";
import { createDeliver } from "./deliver/by-kind.ts";
import { Circuits } from "./deliver/circuit.ts";
import { snsTopic } from "./deliver/sns.ts";
import type { KamadoError } from "./errors.ts";
import { type History, openHistory } from "./history/history.ts";
import { loadRegistry, type OnLoading, type Registry } from "./job/registry.ts";
import type { SendJobs } from "./job/send-jobs.ts";
import { watchHandlers } from "./job/watch-handlers.ts";
import type { Log } from "./logging/log.ts";
import { EngineClient } from "./model/engine-client.ts";
import { type Destinations, loadDestinations } from "./outbound/destinations.ts";
import { createOutbound, type Outbound } from "./outbound/outbound.ts";
import { callTimeoutMs, sqsQueue } from "./queue/sqs.ts";
import { createHandlerServices } from "./runner/handler-context.ts";
import { loadRules } from "./runner/read-message.ts";
import { createReadableObjects } from "./storage/readable-objects.ts";
import { s3Bucket } from "./storage/s3.ts";
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
  const { parts, services } = await connect(config, cloud, openEngine, log, how);
  const worker = createWorker(parts, config);
  const { dataDir: folder, workerName, history: limits } = config;
  const history = openHistory({ folder, worker: workerName, ...limits, log });
  worker.jobEvents.subscribe(history.listener);
  const stop = () => worker.stop().finally(() => history.close());
  return { ...worker, stop, services: { ...services, history } };
}

export type OpenWorker = Worker & { services: Services };

/** What the parts with an address of their own (jobs API, pages, batches, MCP) work with, besides the worker itself. */
export type Services = Pick<Parts, "bucket" | "objects" | "rules" | "clock" | "log"> & {
  config: Config;
  cloud: Cloud;
  send: SendJobs;
  registry: Registry;
  destinations: Destinations;
  outbound: Outbound;
  engine: EngineClient;
  sqs: AwsClients["sqs"];
  history: History;
  circuits: Circuits;
};

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
): Promise<{ parts: Parts; services: Omit<Services, "history"> }> {
  const { registry, close: unwatch } = await openHandlers(config, options, log);
  const rules = loadRules(config.rulesFile, [...registry.keys()], config.bucket);
  const destinations = loadDestinations(config.destinationsFile);
  const engine = await openEngine();
  const clients = makeAwsClients(cloud.aws);
  const call = callTimeoutMs(config.visibilitySeconds);
  const queueAt = (url: string) => sqsQueue(clients.sqs, url, { call });
  const queues = cloud.queues ?? [{ url: cloud.queueUrl, weight: 1 }];
  const buckets = new Map(config.buckets.map((name) => [name, s3Bucket(clients.s3, name)]));
  const objects = createReadableObjects({ own: config.bucket, buckets, listed: config.inputPrefixes, rules });
  const outbound = createOutbound({ destinations });
  const client = new EngineClient({
    url: engine.url,
    token: config.engine.token?.reveal(),
    model: config.engine.remoteModel,
  });
  const circuits = new Circuits({ clock: systemClock, log });
  const parts: Parts = {
    queues: {
      jobs: queues.map(({ url, weight }) => ({ queue: queueAt(url), weight })),
      dead: queueAt(cloud.deadQueueUrl),
      deliveries: cloud.deliveriesQueueUrl === undefined ? undefined : queueAt(cloud.deliveriesQueueUrl),
      deadDeliveries: queueAt(cloud.deadDeliveriesQueueUrl),
    },
    bucket: buckets.get(config.bucket)!,
    objects,
    rules,
    handlers: createHandlerServices({ ...config, registry, objects, outbound, destinations, client }),
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
      topic: snsTopic(clients.sns),
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
    topicArn: cloud.topicArn,
    clock: systemClock,
    log,
    async close() {
      unwatch();
      await outbound.close();
      await client.close();
      clients.destroy();
    },
  };
  const send = sendJobs(clients, cloud, config);
  const { sqs } = clients;
  return {
    parts,
    services: {
      ...parts,
      config,
      cloud,
      send,
      registry,
      destinations,
      outbound,
      engine: client,
      sqs,
      circuits,
    },
  };
}
