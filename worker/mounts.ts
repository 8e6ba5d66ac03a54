// Which part of the worker answers below which path of its address, and the services that these parts share, made from a worker's parts.
// Who is let in is decided in console/server.ts.
import { createJobsApi } from "./api/app.ts";
import { createDeadLettersService } from "./api/dead-letters.ts";
import { createDestinationsService } from "./api/destinations.ts";
import { createJobsService } from "./api/jobs.ts";
import type { ApiServices } from "./api/services.ts";
import { createBatchesApi } from "./batches/api.ts";
import { createConsole } from "./console/console.ts";
import { createEngineView } from "./console/engine-view.ts";
import type { Mount } from "./console/server.ts";
import { SIGN_OUT } from "./console/sign-in.ts";
import { sqsDeadLetterQueue } from "./dead-letters/dead-letter-queue.ts";
import { DeadLetterQueues } from "./dead-letters/redrive.ts";
import type { OpenWorker } from "./main.ts";
import { createMcp } from "./mcp/mcp.ts";
import { createMetricsApi } from "./metrics/metrics-api.ts";
import { createQueueDepths } from "./metrics/queue-depths.ts";
import { catalogue } from "./models/catalogue.ts";
import { DisabledDestinations } from "./outbox/disabled-destinations.ts";
import { sqsQueue } from "./queue/sqs.ts";
import { depthOf } from "./queue/whole-queue.ts";
import { createSchedulesApi } from "./schedules/api.ts";
import { createResults } from "./storage/results.ts";

export function createMounts(worker: OpenWorker): Mount[] {
  const services = createServices(worker);
  return [
    mcpOf(worker),
    { path: "/", app: jobsApiOf(worker, services) },
    { path: "/v1", app: createBatchesApi({ batches: worker.batches, log: worker.services.log }) },
    { path: "/metrics", app: createMetricsApi({ families: worker.services.readMetrics }) },
    { path: "/schedules", app: createSchedulesApi(worker.schedules) },
    { path: "/", app: consoleOf(worker, services) },
  ];
}

const jobsApiOf = ({ services: { config, log } }: OpenWorker, services: ApiServices): Mount["app"] =>
  createJobsApi({ services, maxUpload: config.budgets.inputBytes, log });

/** Its requests are all POSTs; each tool says whether it changes anything. */
function mcpOf({ services, jobEvents }: OpenWorker): Mount {
  const results = createResults(services.bucket);
  return { path: "/mcp", app: createMcp({ ...services, results, jobEvents }), checksRights: true };
}

function consoleOf(worker: OpenWorker, services: ApiServices): Mount["app"] {
  const { state, schedules, services: connected } = worker;
  const { config } = connected;
  const { hostedPrice: price, memoryBandwidth: bandwidth } = config.web;
  const engine = createEngineView({ url: state().engine.url, token: config.engine.token?.reveal() });
  return createConsole({
    ...services,
    state,
    schedules,
    engine,
    price,
    bandwidth,
    countDead: createCountDead(connected),
    catalogue: () => catalogue().map(({ model, ...one }) => ({ ...one, bytes: model.bytes })),
    mayChange: (context) => context.get("visitor").mayChange,
    signOut: (context) => (context.get("visitor").by === "session" ? SIGN_OUT : undefined),
  });
}

/** Only while somebody looks at the overview. */
const COUNT_DEAD_MS = 5_000;

function createCountDead({ cloud, sqs, clock }: OpenWorker["services"]): () => Promise<number> {
  const depths = createQueueDepths({
    urls: [...new Set([cloud.deadQueueUrl, cloud.deadDeliveriesQueueUrl])],
    depthOf: (url) => depthOf(sqs, url),
    everyMs: COUNT_DEAD_MS,
    clock,
  });
  return async () =>
    (await depths()).reduce((sum, { waiting, inFlight, delayed }) => sum + waiting + inFlight + delayed, 0);
}

/** Jobs, dead letters and destinations, for every part that shows or changes them. */
export function createServices(worker: OpenWorker): ApiServices {
  const { services, jobEvents } = worker;
  const { history, bucket, circuits, clock, config, cloud, sqs } = services;
  const disabled = new DisabledDestinations({ bucket, clock });
  const deadLetters = createDeadLettersService({
    history,
    clock,
    open: () => deadLetterQueues(worker, disabled),
  });
  return {
    jobs: createJobsService({
      ...services,
      jobEvents,
      budgets: config.budgets,
      load: () => worker.state(),
      depth: () => depthOf(sqs, cloud.queueUrl),
    }),
    deadLetters,
    destinations: createDestinationsService({ history, disabled, circuits, deadLetters, clock }),
  };
}

function deadLetterQueues(
  { services: { sqs, cloud, bucket, clock } }: OpenWorker,
  disabledDestinations: DisabledDestinations,
): DeadLetterQueues {
  const { queueUrl, deliveriesQueueUrl } = cloud;
  const others = (cloud.queues ?? []).filter(({ url }) => url !== queueUrl);
  return new DeadLetterQueues({
    dead: {
      jobs: sqsDeadLetterQueue(sqs, cloud.deadQueueUrl),
      deliveries: sqsDeadLetterQueue(sqs, cloud.deadDeliveriesQueueUrl),
    },
    origin: {
      jobs: [sqsQueue(sqs, queueUrl), ...others.map(({ url }) => sqsQueue(sqs, url))],
      deliveries: deliveriesQueueUrl === undefined ? undefined : sqsQueue(sqs, deliveriesQueueUrl),
    },
    bucket,
    results: createResults(bucket),
    disabledDestinations,
    clock,
  });
}
