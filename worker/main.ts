// The composition root: config -> adapters -> worker -> web. Nothing else wires parts together; signals and printing
// belong to the commands.
import { type AwsConfig, makeAwsClients } from "./aws.ts";
import { s3Blobs } from "./blobs/s3.ts";
import { systemClock } from "./clock.ts";
import { type Config, HANDLERS } from "./config.ts";
import { createDeliver } from "./deliver/by-kind.ts";
import { snsTopic } from "./deliver/topic.ts";
import { loadRegistry } from "./job/registry.ts";
import type { Log } from "./log.ts";
import { EngineClient } from "./model/engine-client.ts";
import { loadDestinations } from "./outbound/destinations.ts";
import { createOutbound } from "./outbound/outbound.ts";
import { sqsQueue } from "./queue/sqs.ts";
import { Acks } from "./run/acks.ts";
import { Claims } from "./run/claims.ts";
import { createDeadLetters } from "./run/dead-letters.ts";
import { createDeliverAll } from "./run/deliver-all.ts";
import { EngineGate } from "./run/engine-gate.ts";
import { Journal } from "./run/journal.ts";
import { Leases } from "./run/lease.ts";
import { Puller } from "./run/puller.ts";
import { createReadJob, priorityOf } from "./run/read-job.ts";
import { createResults } from "./run/results.ts";
import { loadRules } from "./run/rules-file.ts";
import { runJob } from "./run/run-job.ts";
import { createWorkshop } from "./run/workshop.ts";
import { statusOf, watchLatestJobs } from "./web/latest-jobs.ts";
import type { State } from "./web/state.ts";

/** Where the parts of AWS are: from the configuration, or the embedded one's own. */
export type Cloud = {
  aws: AwsConfig;
  queueUrl: string;
  deadQueueUrl: string;
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
  const queueAt = (url: string) => sqsQueue(clients.sqs, url);
  const queue = queueAt(cloud.queueUrl);
  const blobs = s3Blobs(clients.s3);
  const registry = await loadRegistry(HANDLERS);
  const rules = loadRules(config.rulesFile);
  const destinations = loadDestinations(config.destinationsFile);
  const outbound = createOutbound({ destinations });
  const client = new EngineClient({ url: engine.url, token: config.engine.token?.reveal() });

  const journal = new Journal(log);
  const gate = new EngineGate({ probe: async () => (await client.health()).is === "ready", clock, log });
  const leases = new Leases({ queue, visibilitySeconds: config.visibilitySeconds, clock, log });
  const acks = new Acks({ queue, leases, clock, log });
  const workshop = createWorkshop({ config, registry, blobs, outbound, client, journal, clock });
  const results = createResults({ blobs, bucket: config.bucket });
  const deadLetters = createDeadLetters({
    messages: queueAt(cloud.deadQueueUrl),
    deliveries: queueAt(cloud.deadDeliveriesQueueUrl),
    worker: config.workerName,
    log: (entry, text) => log.warn({ ...entry }, text),
  });
  const deliver = createDeliver({
    outbound,
    topic: snsTopic(clients.sns),
    queueFor: queueAt,
    registry,
    log,
    destinations,
    awsEndpoint: cloud.aws.endpoint,
  });
  const fallback = cloud.topicArn === undefined ? [] : [{ sns: cloud.topicArn }];
  const house = {
    readJob: createReadJob({ blobs, buckets: config.buckets, rules }),
    results,
    workshop,
    deliverAll: createDeliverAll({ deliver, fallback, results, deadLetters, journal }),
    deadLetters,
    enqueue: async (jobs: readonly unknown[]) => {
      for (const job of jobs) await queue.send(JSON.stringify(job));
    },
    acks,
    claims: new Claims(),
    journal,
    maxAttempts: config.maxAttempts,
  };
  const puller = new Puller({
    queue,
    leases,
    acks,
    slots: config.slots,
    prefetch: config.prefetch,
    visibilitySeconds: config.visibilitySeconds,
    pollSeconds: config.pollSeconds,
    work: (lease, cut) => runJob(lease, cut, house),
    priorityOf: (message) => priorityOf(message, rules),
    isReady: () => gate.isOpen,
    ready: (signal) => gate.ready(signal),
    clock,
    log,
  });
  const latest = watchLatestJobs(journal);
  journal.watch(({ error }) => {
    if (error === "engine_unavailable") gate.suspect();
  });
  let stopped: Promise<void> | undefined;

  return {
    journal,
    start: () => puller.start(),
    cut: () => puller.cut(),
    stop: () =>
      (stopped ??= puller.stop(config.drainSeconds * 1_000).then(async () => {
        await outbound.close();
        await client.close();
        clients.destroy();
      })),
    state: () => ({
      status: statusOf({
        stopping: stopped !== undefined,
        engine: gate.isOpen,
        queue: puller.health,
        running: puller.running,
      }),
      queue: { url: cloud.queueUrl, health: puller.health },
      engine: {
        url: engine.url,
        model: latest.model ?? config.engine.model.replace(/^.*\//, ""),
        answers: gate.isOpen,
        isDemo: config.engine.isDemo,
      },
      bucket: config.bucket,
      topic: cloud.topicArn ?? null,
      running: puller.running,
      waiting: puller.waiting,
      slots: config.slots,
      jobs: latest.jobs,
    }),
  };
}
