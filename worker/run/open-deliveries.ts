// Puts the parts of delivering together: the station in a job's way, the outbox behind it, and where both put aside what
// nobody takes.
import type { Blobs } from "../blobs/blobs.ts";
import type { Clock } from "../clock.ts";
import type { Deliver } from "../deliver/deliver.ts";
import type { Destination } from "../job/envelope.ts";
import type { Log } from "../log.ts";
import type { Queue } from "../queue/queue.ts";
import { createDeadLetters, type DeadLetters } from "./dead-letters.ts";
import { createDeliverAll, type DeliverAll } from "./deliver-all.ts";
import { createDeliveryLog } from "./delivery-log.ts";
import { DestinationMarks } from "./destination-marks.ts";
import type { Journal } from "./journal.ts";
import { createOutbox, noOutbox } from "./outbox.ts";
import { createOutboxStation } from "./outbox-station.ts";
import type { Puller } from "./puller.ts";
import type { Results } from "./results.ts";
import { createTryDelivery } from "./try-delivery.ts";

export type DeliveriesOptions = {
  deliver: Deliver;
  queues: { dead: Queue; deliveries: Queue | undefined; deadDeliveries: Queue };
  blobs: Blobs;
  bucket: string;
  /** Where a result goes when its job names no destination. */
  fallback: readonly Destination[];
  results: Pick<Results, "address">;
  journal: Journal;
  worker: string;
  pollSeconds: number;
  /** Of a job's message; a delivery's is never longer than it needs. */
  visibilitySeconds?: number;
  /** Before each try, the first included; undefined: the usual schedule. */
  delaysMs?: readonly number[] | undefined;
  clock: Clock;
  log: Log;
};

/** `station` works the outbox; without a queue for it there is none, and failed deliveries keep their job's message. */
export type Deliveries = { deliverAll: DeliverAll; deadLetters: DeadLetters; station: Puller | undefined };

export function openDeliveries(options: DeliveriesOptions): Deliveries {
  const { queues, blobs, bucket, worker, clock, log } = options;
  const put = (messages: Queue) =>
    createDeadLetters({
      messages,
      deliveries: queues.deadDeliveries,
      blobs,
      bucket,
      worker,
      clock,
      log: (entry, text) => log.warn({ ...entry }, text),
    });
  const deadLetters = put(queues.dead);
  const deliveryLog = createDeliveryLog({ blobs, bucket, log });
  const marks = new DestinationMarks({ blobs, bucket, clock });
  const tryDelivery = createTryDelivery({ ...options, marks });
  const queue = queues.deliveries;
  const outbox = queue ? createOutbox({ queue, blobs, bucket, clock }) : noOutbox;
  return {
    deadLetters,
    deliverAll: createDeliverAll({ ...options, tryDelivery, outbox, deadLetters, deliveryLog }),
    station:
      queue &&
      createOutboxStation({
        ...options,
        queue,
        tryDelivery,
        deliveryLog,
        deadLetters: put(queues.deadDeliveries),
      }),
  };
}
