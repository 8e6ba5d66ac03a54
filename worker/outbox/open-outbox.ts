// Puts the outbox together: the delivery of fresh results, the consumer that tries failed deliveries again, and the dead letters of
// both. It owns that consumer's slots and visibility. What a try is, and when the next one is due, is left to the other files
// of this folder.
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
import type { Tracer } from "../tracing/tracer.ts";
import { createDeliverAll, type DeliverAll } from "./deliver-result.ts";
import { createDeliveryLog } from "./delivery-log.ts";
import { DisabledDestinations } from "./disabled-destinations.ts";
import { createRedeliver, type RedeliverOptions } from "./redeliver.ts";
import { createTryDelivery } from "./try-delivery.ts";

export type DeliveriesOptions = {
  deliver: Deliver;
  queues: {
    dead: Pick<Queue, "send">;
    deliveries: Queue | undefined;
    deadDeliveries: Pick<Queue, "send">;
  };
  bucket: Bucket;
  /** Where a result goes when its job names no destination. */
  fallback(kind: string): readonly Destination[];
  results: Pick<Results, "address">;
  jobEvents: JobEvents;
  /** [passes on the trace of a delivery] */
  tracer?: Tracer | undefined;
  worker: string;
  pollSeconds: number;
  /** Of a job's message. A delivery's may be shorter. */
  visibilitySeconds?: number;
  /** The delays before each try, the first included; undefined: the usual schedule. */
  delaysMs?: readonly number[] | undefined;
  clock: Clock;
  log: Log;
};

export type Deliveries = {
  deliverAll: DeliverAll;
  /** Of jobs. */
  deadLetters: DeadLetters;
  /** Undefined when there is no queue for the outbox; a delivery that fails then keeps its job's message. */
  outboxConsumer: Consumer | undefined;
};

export function openDeliveries(options: DeliveriesOptions): Deliveries {
  const { queues, bucket, worker, clock, log } = options;
  const shared = {
    ...options,
    tryDelivery: createTryDelivery({
      ...options,
      disabledDestinations: new DisabledDestinations({ bucket, clock }),
    }),
    deliveryLog: createDeliveryLog({ bucket, log }),
    deadLetters: createDeadLetters({ queue: queues.deadDeliveries, worker, clock, log }),
  };
  const outbox = queues.deliveries;
  return {
    deadLetters: createDeadLetters({ queue: queues.dead, worker, clock, log }),
    deliverAll: createDeliverAll({ ...shared, outbox }),
    outboxConsumer: outbox && createOutboxConsumer(outbox, shared),
  };
}

/**
 * More than the receivers that do not answer may have in hand at a time (half of the places in deliver/pace.ts). So others always
 * find a slot.
 */
const CAPACITY = { slots: 40, prefetch: 0 };
/** A try ends within 20 s; then its log entry and its message are written. */
const LONGEST_VISIBILITY_SECONDS = 60;

/** Independent of the jobs' consumer and of the engine. */
function createOutboxConsumer(queue: Queue, options: DeliveriesOptions & RedeliverOptions): Consumer {
  const { pollSeconds, clock, log } = options;
  const visibilitySeconds = Math.min(LONGEST_VISIBILITY_SECONDS, options.visibilitySeconds ?? Infinity);
  return new Consumer({
    queue,
    concurrency: CAPACITY,
    visibilitySeconds,
    pollSeconds,
    work: createRedeliver(options),
    clock,
    log,
  });
}
