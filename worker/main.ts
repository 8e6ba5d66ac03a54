// The composition root: config -> adapters -> worker -> web. Nothing else wires parts together; signals and printing
// belong to the commands.
import { type AwsConfig, makeAwsClients } from "./aws.ts";
import { s3Blobs } from "./blobs/s3.ts";
import { systemClock } from "./clock.ts";
import { type Config, HANDLERS, type WeightedQueue } from "./config.ts";
import { createDeliver } from "./deliver/by-kind.ts";
import { snsTopic } from "./deliver/topic.ts";
import type { Job } from "./job/envelope.ts";
import { loadRegistry } from "./job/registry.ts";
import type { Log } from "./log.ts";
import { EngineClient } from "./model/engine-client.ts";
import { loadDestinations } from "./outbound/destinations.ts";
import { createOutbound } from "./outbound/outbound.ts";
import { OUTBOX_HINTS, shownOf } from "./queue/queue.ts";
import { callTimeoutMs, sqsQueue } from "./queue/sqs.ts";
import { Acks } from "./run/acks.ts";
import { Capacity } from "./run/capacity.ts";
import { enqueueAll } from "./run/enqueue-all.ts";
import { Gate } from "./run/gate.ts";
import { createHolds } from "./run/hold.ts";
import { Journal } from "./run/journal.ts";
import { Leases } from "./run/leases.ts";
import { openDeliveries } from "./run/open-deliveries.ts";
import { Pullers, type Source } from "./run/pullers.ts";
import { createReadJob, priorityOf } from "./run/read-job.ts";
import { createResults } from "./run/results.ts";
import { loadRules } from "./run/rules-file.ts";
import { runJob } from "./run/run-job.ts";
import { Solitude } from "./run/solitude.ts";
import { createWorkshop } from "./run/workshop.ts";
import { statusOf, watchLatestJobs } from "./web/latest-jobs.ts";
import type { State } from "./web/state.ts";

/** Where the parts of AWS are: from the configuration, or the embedded one's own. */
export type Cloud = {
  aws: AwsConfig;
  /** Where jobs are sent. */
  queueUrl: string;
  /** All that are pulled from, when there are more; their dead letters share one queue. */
  queues?: readonly WeightedQueue[];
  deadQueueUrl: string;
  /** The outbox; without one a failed delivery keeps its job's message. */
  deliveriesQueueUrl: string | undefined;
  deadDeliveriesQueueUrl: string;
  topicArn: string | undefined;
};

export type Worker = {
  readonly journal: Journal;
  state(): State;
  start(): void;
  /** Stops pulling, gives back what has not started, waits for the rest up to the drain deadline, then cuts it. */
  stop(): Promise<void>;
  /** Ends the wait of a stop. */
  cut(): void;
};

export async function createWorker(
  config: Config,
  cloud: Cloud,
  engine: { url: string },
  log: Log,
): Promise<Worker> {
  const clock = systemClock;
  const clients = makeAwsClients(cloud.aws);
  const queueAt = (url: string) =>
    sqsQueue(clients.sqs, url, { call: callTimeoutMs(config.visibilitySeconds) });
  const blobs = s3Blobs(clients.s3);
  const registry = await loadRegistry(HANDLERS);
  const rules = loadRules(config.rulesFile);
  const destinations = loadDestinations(config.destinationsFile);
  const outbound = createOutbound({ destinations });
  const client = new EngineClient({ url: engine.url, token: config.engine.token?.reveal() });

  const journal = new Journal(log);
  const capacity = new Capacity(config, log);
  const probe = async () => {
    const health = await client.health();
    if (health.is === "ready") capacity.tell(health.slots);
    return health.is === "ready";
  };
  const gate = new Gate({ what: "engine", probe, clock, log });
  const bucketGate = new Gate({
    what: "bucket",
    probe: () =>
      blobs.exists({ bucket: config.bucket, key: "results/" }).then(
        () => true,
        () => false,
      ),
    clock,
    log,
  });
  const workshop = createWorkshop({ config, registry, blobs, outbound, client, journal, clock });
  const results = createResults({ blobs, bucket: config.bucket });
  const deliver = createDeliver({
    outbound,
    topic: snsTopic(clients.sns),
    queueFor: queueAt,
    registry,
    log,
    destinations,
    awsEndpoint: cloud.aws.endpoint,
  });
  const { deliverAll, deadLetters, station } = openDeliveries({
    deliver,
    queues: {
      dead: queueAt(cloud.deadQueueUrl),
      deliveries: cloud.deliveriesQueueUrl === undefined ? undefined : queueAt(cloud.deliveriesQueueUrl),
      deadDeliveries: queueAt(cloud.deadDeliveriesQueueUrl),
    },
    blobs,
    bucket: config.bucket,
    fallback: cloud.topicArn === undefined ? [] : [{ sns: cloud.topicArn }],
    results,
    journal,
    worker: config.workerName,
    pollSeconds: config.pollSeconds,
    visibilitySeconds: config.visibilitySeconds,
    delaysMs: config.deliveryDelaysMs,
    clock,
    log,
  });
  const house = {
    readJob: createReadJob({ blobs, buckets: config.buckets, rules }),
    results,
    workshop,
    deliverAll,
    deadLetters,
    ...createHolds({
      blobs,
      bucket: config.bucket,
      worker: config.workerName,
      visibilitySeconds: config.visibilitySeconds,
      clock,
      log,
    }),
    solitude: new Solitude(),
    journal,
    maxAttempts: config.maxAttempts,
    retryMs: config.retrySeconds * 1_000,
  };
  const sources = (cloud.queues ?? [{ url: cloud.queueUrl, weight: 1 }]).map(({ url, weight }) => {
    const queue = queueAt(url);
    const leases = new Leases({ queue, visibilitySeconds: config.visibilitySeconds, clock, log });
    const acks = new Acks({ queue, leases, clock, log });
    const enqueue = (jobs: readonly Job[], group: string | null) => enqueueAll(queue, jobs, group);
    const work: Source["work"] = (lease, cut) => runJob(lease, cut, { ...house, acks, enqueue });
    return { queue, leases, acks, weight, work };
  });
  const puller = new Pullers(sources, {
    capacity,
    visibilitySeconds: config.visibilitySeconds,
    pollSeconds: config.pollSeconds,
    priorityOf: (message) => priorityOf(message, rules),
    isReady: () => gate.isOpen && bucketGate.isOpen,
    ready: (signal) => Promise.all([gate.ready(signal), bucketGate.ready(signal)]),
    clock,
    log,
  });
  const latest = watchLatestJobs(journal);
  journal.watch(({ station, error }) => {
    if (error === "engine_unavailable" || error === "engine_died") gate.suspect();
    if (error === "storage_unavailable") bucketGate.suspect();
    if (station === "ended") capacity.ended(error as string | undefined, puller.running - 1);
  });
  let stopped: Promise<void> | undefined;

  return {
    journal,
    start: () => {
      puller.start();
      station?.start();
    },
    cut: () => {
      puller.cut();
      station?.cut();
    },
    stop: () =>
      (stopped ??= Promise.all([puller, station].map((one) => one?.stop(config.drainSeconds * 1_000))).then(
        async () => {
          await house.markers.idle();
          await outbound.close();
          await client.close();
          clients.destroy();
        },
      )),
    state: () => ({
      status: statusOf({
        stopping: stopped !== undefined,
        engine: gate.isOpen,
        queue: puller.health,
        bucket: !bucketGate.isAway,
        running: puller.running,
      }),
      queue: shownOf(cloud.queueUrl, puller.health),
      deliveries: station ? shownOf(cloud.deliveriesQueueUrl!, station.health, OUTBOX_HINTS) : null,
      engine: {
        url: engine.url,
        model: latest.model ?? config.engine.model.replace(/^.*\//, ""),
        answers: gate.isOpen,
        isDemo: config.engine.isDemo,
      },
      bucket: { name: config.bucket, answers: !bucketGate.isAway },
      topic: cloud.topicArn ?? null,
      running: puller.running,
      waiting: puller.waiting,
      slots: capacity.slots,
      allSlots: capacity.allSlots,
      process: {
        residentBytes: process.memoryUsage.rss(),
        handles: process.getActiveResourcesInfo().length,
      },
      jobs: latest.jobs,
    }),
  };
}
