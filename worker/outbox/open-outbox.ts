// Puts the parts of delivering together: the stage in a job's way, the outbox behind it, and where both put aside what
// nobody takes.

import type { Clock } from "../async/clock.ts";
import { Consumer } from "../consumer/consumer.ts";
import type { Deliver } from "../deliver/deliver.ts";
import type { Destination } from "../job/envelope.ts";
import type { JobEvents } from "../logging/job-events.ts";
import type { Log } from "../logging/log.ts";
import { createDeadLetters, type DeadLetters } from "../queue/dead-letter.ts";
import type { Queue } from "../queue/queue.ts";
import type { Bucket } from "../storage/bucket.ts";
import type { Results } from "../storage/results.ts";
import { createDeliverAll, type DeliverAll } from "./deliver-result.ts";
import { createDeliveryLog, type DeliveryLog } from "./delivery-log.ts";
import { DisabledDestinations } from "./disabled-destinations.ts";
import { createOutbox, noOutbox } from "./outbox.ts";
import { createRetryDelivery } from "./redeliver.ts";
import { createTryDelivery, type TryDelivery } from "./try-delivery.ts";

export type DeliveriesOptions = {
  deliver: Deliver;
  queues: { dead: Queue; deliveries: Queue | undefined; deadDeliveries: Queue };
  bucket: Bucket;
  /** Where a result goes when its job names no destination. */
  fallback: readonly Destination[];
  results: Pick<Results, "address">;
  jobEvents: JobEvents;
  worker: string;
  pollSeconds: number;
  /** Of a job's message; a delivery's is never longer than it needs. */
  visibilitySeconds?: number;
  /** Before each try, the first included; undefined: the usual schedule. */
  delaysMs?: readonly number[] | undefined;
  clock: Clock;
  log: Log;
};

/** `stage` works the outbox; without a queue for it there is none, and failed deliveries keep their job's message. */
export type Deliveries = {
  deliverAll: DeliverAll;
  deadLetters: DeadLetters;
  outboxConsumer: Consumer | undefined;
};

export function openDeliveries(options: DeliveriesOptions): Deliveries {
  const { queues, bucket, worker, clock, log } = options;
  const deadLetters = createDeadLetters({ queue: queues.dead, worker, clock, log });
  const deadDeliveries = createDeadLetters({ queue: queues.deadDeliveries, worker, clock, log });
  const deliveryLog = createDeliveryLog({ bucket, log });
  const marks = new DisabledDestinations({ bucket, clock });
  const tryDelivery = createTryDelivery({ ...options, marks });
  const queue = queues.deliveries;
  const outbox = queue ? createOutbox({ queue, bucket, clock }) : noOutbox;
  return {
    deadLetters,
    deliverAll: createDeliverAll({
      ...options,
      tryDelivery,
      outbox,
      deadLetters: deadDeliveries,
      deliveryLog,
    }),
    outboxConsumer:
      queue &&
      createOutboxStation({
        ...options,
        queue,
        tryDelivery,
        deliveryLog,
        deadLetters: deadDeliveries,
      }),
  };
}

// The outbox at work: its own consumer with its own leases, beside the one of the jobs and apart from the engine.
export type OutboxStationOptions = {
  queue: Queue;
  tryDelivery: TryDelivery;
  deliveryLog: DeliveryLog;
  deadLetters: DeadLetters;
  bucket: Bucket;
  pollSeconds: number;
  visibilitySeconds?: number;
  delaysMs?: readonly number[] | undefined;
  jobEvents: JobEvents;
  clock: Clock;
  log: Log;
};

/** Twice what one receiver gets at a time, so that one that hangs does not hold up the others. */
const CAPACITY = { slots: 16, prefetch: 0 };
/** A try ends within 20 s; then its entry and its message are written. Where jobs come back sooner, so do deliveries. */
const LONGEST_VISIBILITY_SECONDS = 60;

export function createOutboxStation(options: OutboxStationOptions): Consumer {
  const { queue, pollSeconds, clock, log } = options;
  const visibilitySeconds = Math.min(LONGEST_VISIBILITY_SECONDS, options.visibilitySeconds ?? Infinity);
  return new Consumer({
    queue,
    concurrency: CAPACITY,
    visibilitySeconds,
    pollSeconds,
    work: createRetryDelivery(options),
    clock,
    log,
  });
}
