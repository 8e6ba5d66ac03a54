// The composition root: config -> adapters -> worker -> web. Nothing else wires parts together; signals and printing
// belong to the commands.

import { systemClock } from "./async/clock.ts";
import { type AwsConfig, makeAwsClients } from "./aws/clients.ts";
import { type Config, HANDLERS, type WeightedQueue } from "./config/config.ts";
import { statusOf, watchLatestJobs } from "./console/latest-jobs.ts";
import type { State } from "./console/state.ts";
import { Acks } from "./consumer/acks.ts";
import { ConcurrencyLimit } from "./consumer/concurrency-limit.ts";
import { ConsumerGroup, type Source } from "./consumer/consumer-group.ts";
import { HealthCheck } from "./consumer/health-check.ts";
import { Heartbeat } from "./consumer/heartbeat.ts";
import { createDeliver } from "./deliver/by-kind.ts";
import { snsTopic } from "./deliver/sns.ts";
import type { Job } from "./job/envelope.ts";
import { loadRegistry } from "./job/registry.ts";
import { createJobClaims } from "./job-lock/job-claim.ts";
import { JobEvents } from "./logging/job-events.ts";
import type { Log } from "./logging/log.ts";
import { EngineClient } from "./model/engine-client.ts";
import { loadDestinations } from "./outbound/destinations.ts";
import { createOutbound } from "./outbound/outbound.ts";
import { openDeliveries } from "./outbox/open-outbox.ts";
import { OUTBOX_HINTS, shownOf } from "./queue/health.ts";
import { callTimeoutMs, sqsQueue } from "./queue/sqs.ts";
import { createHandlerDependencies } from "./runner/handler-context.ts";
import { Quarantine } from "./runner/quarantine.ts";
import { createReadJob, enqueueAll, loadRules, priorityOf } from "./runner/read-message.ts";
import { runJob } from "./runner/run-job.ts";
import type { Storage } from "./storage/bucket.ts";
import { createResults } from "./storage/results.ts";
import { s3Bucket } from "./storage/s3.ts";

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
  readonly jobEvents: JobEvents;
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
  const storage: Storage = (name) => s3Bucket(clients.s3, name);
  const bucket = storage(config.bucket);
  const buckets = new Map(config.buckets.map((name) => [name, storage(name)]));
  const registry = await loadRegistry(HANDLERS);
  const rules = loadRules(config.rulesFile);
  const destinations = loadDestinations(config.destinationsFile);
  const outbound = createOutbound({ destinations });
  const client = new EngineClient({ url: engine.url, token: config.engine.token?.reveal() });

  const jobEvents = new JobEvents(log);
  const concurrency = new ConcurrencyLimit(config, log);
  const probe = async () => {
    const health = await client.health();
    if (health.is === "ready") concurrency.tell(health.slots);
    return health.is === "ready";
  };
  const engineHealth = new HealthCheck({ what: "engine", probe, clock, log });
  const bucketHealth = new HealthCheck({
    what: "bucket",
    probe: () =>
      bucket.exists("results/").then(
        () => true,
        () => false,
      ),
    clock,
    log,
  });
  const handlerDependencies = createHandlerDependencies({
    config,
    registry,
    buckets,
    outbound,
    client,
    jobEvents,
    clock,
  });
  const results = createResults(bucket);
  const deliver = createDeliver({
    outbound,
    topic: snsTopic(clients.sns),
    queueFor: queueAt,
    registry,
    log,
    destinations,
    awsEndpoint: cloud.aws.endpoint,
  });
  const { deliverAll, deadLetters, outboxConsumer } = openDeliveries({
    deliver,
    queues: {
      dead: queueAt(cloud.deadQueueUrl),
      deliveries: cloud.deliveriesQueueUrl === undefined ? undefined : queueAt(cloud.deliveriesQueueUrl),
      deadDeliveries: queueAt(cloud.deadDeliveriesQueueUrl),
    },
    bucket,
    fallback: cloud.topicArn === undefined ? [] : [{ sns: cloud.topicArn }],
    results,
    jobEvents,
    worker: config.workerName,
    pollSeconds: config.pollSeconds,
    visibilitySeconds: config.visibilitySeconds,
    delaysMs: config.deliveryDelaysMs,
    clock,
    log,
  });
  const dependencies = {
    readJob: createReadJob({ buckets, rules }),
    results,
    handlerDependencies,
    deliverAll,
    deadLetters,
    ...createJobClaims({
      bucket,
      worker: config.workerName,
      visibilitySeconds: config.visibilitySeconds,
      clock,
      log,
    }),
    quarantine: new Quarantine(),
    jobEvents,
    maxAttempts: config.maxAttempts,
    retryMs: config.retrySeconds * 1_000,
  };
  const sources = (cloud.queues ?? [{ url: cloud.queueUrl, weight: 1 }]).map(({ url, weight }) => {
    const queue = queueAt(url);
    const leases = new Heartbeat({ queue, visibilitySeconds: config.visibilitySeconds, clock, log });
    const acks = new Acks({ queue, leases, clock, log });
    const enqueue = (jobs: readonly Job[], group: string | null) => enqueueAll(queue, jobs, group);
    const work: Source["work"] = (lease, cut) => runJob(lease, cut, { ...dependencies, acks, enqueue });
    return { queue, leases, acks, weight, work };
  });
  const consumer = new ConsumerGroup(sources, {
    concurrency,
    visibilitySeconds: config.visibilitySeconds,
    pollSeconds: config.pollSeconds,
    priorityOf: (message) => priorityOf(message, rules),
    isReady: () => engineHealth.isOpen && bucketHealth.isOpen,
    ready: (signal) => Promise.all([engineHealth.ready(signal), bucketHealth.ready(signal)]),
    clock,
    log,
  });
  const latest = watchLatestJobs(jobEvents);
  jobEvents.watch(({ stage, error }) => {
    if (error === "engine_unavailable" || error === "engine_died") engineHealth.suspect();
    if (error === "storage_unavailable") bucketHealth.suspect();
    if (stage === "ended") concurrency.ended(error as string | undefined, consumer.running - 1);
  });
  let stopped: Promise<void> | undefined;

  return {
    jobEvents,
    start: () => {
      consumer.start();
      outboxConsumer?.start();
    },
    cut: () => {
      consumer.cut();
      outboxConsumer?.cut();
    },
    stop: () =>
      (stopped ??= Promise.all(
        [consumer, outboxConsumer].map((one) => one?.stop(config.drainSeconds * 1_000)),
      ).then(async () => {
        await dependencies.locks.idle();
        await outbound.close();
        await client.close();
        clients.destroy();
      })),
    state: () => ({
      status: statusOf({
        stopping: stopped !== undefined,
        engine: engineHealth.isOpen,
        queue: consumer.health,
        bucket: !bucketHealth.isAway,
        running: consumer.running,
      }),
      queue: shownOf(cloud.queueUrl, consumer.health),
      deliveries: outboxConsumer
        ? shownOf(cloud.deliveriesQueueUrl!, outboxConsumer.health, OUTBOX_HINTS)
        : null,
      engine: {
        url: engine.url,
        model: latest.model ?? config.engine.model.replace(/^.*\//, ""),
        answers: engineHealth.isOpen,
        isDemo: config.engine.isDemo,
      },
      bucket: { name: config.bucket, answers: !bucketHealth.isAway },
      topic: cloud.topicArn ?? null,
      running: consumer.running,
      waiting: consumer.waiting,
      slots: concurrency.slots,
      allSlots: concurrency.allSlots,
      process: {
        residentBytes: process.memoryUsage.rss(),
        handles: process.getActiveResourcesInfo().length,
      },
      jobs: latest.jobs,
    }),
  };
}
