// What the jobs API and the pages ask of the worker, made from a worker's parts. Loaded when somebody asks for the first time.
import { createDeadLettersService } from "./api/dead-letters.ts";
import { createDestinationsService } from "./api/destinations.ts";
import type { JobProgress } from "./api/job-progress.ts";
import { createJobsService } from "./api/jobs.ts";
import type { ApiServices } from "./api/services.ts";
import { sqsDeadLetterQueue } from "./dead-letters/dead-letter-queue.ts";
import { DeadLetterQueues } from "./dead-letters/redrive.ts";
import type { OpenWorker } from "./main.ts";
import { DisabledDestinations } from "./outbox/disabled-destinations.ts";
import { sqsQueue } from "./queue/sqs.ts";
import { depthOf } from "./queue/whole-queue.ts";
import { createResults } from "./storage/results.ts";

/** Jobs, dead letters and destinations, for every part that shows or changes them. */
export function createServices(worker: OpenWorker, progress: JobProgress): ApiServices {
  const { services, jobEvents } = worker;
  const { history, bucket, circuits, clock, config, cloud, sqs } = services;
  const disabled = new DisabledDestinations({ bucket, clock });
  const deadLetters = createDeadLettersService({
    history,
    clock,
    open: () => deadLetterQueues(worker, disabled),
    depths: () => [cloud.deadQueueUrl, cloud.deadDeliveriesQueueUrl].map((url) => depthOf(sqs, url)),
  });
  return {
    jobs: createJobsService({
      ...services,
      jobEvents,
      progress,
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
