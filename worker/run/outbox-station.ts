// The outbox at work: its own puller with its own leases, beside the one of the jobs and apart from the engine.
import type { Blobs } from "../blobs/blobs.ts";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { Queue } from "../queue/queue.ts";
import { Acks } from "./acks.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { DeliveryLog } from "./delivery-log.ts";
import type { Journal } from "./journal.ts";
import { Leases } from "./leases.ts";
import { Puller } from "./puller.ts";
import { createRetryDelivery } from "./retry-delivery.ts";
import type { TryDelivery } from "./try-delivery.ts";

export type OutboxStationOptions = {
  queue: Queue;
  tryDelivery: TryDelivery;
  deliveryLog: DeliveryLog;
  deadLetters: DeadLetters;
  blobs: Blobs;
  bucket: string;
  pollSeconds: number;
  visibilitySeconds?: number;
  delaysMs?: readonly number[] | undefined;
  journal: Journal;
  clock: Clock;
  log: Log;
};

/** Twice what one receiver gets at a time, so that one that hangs does not hold up the others. */
const CAPACITY = { slots: 16, prefetch: 0 };
/** A try ends within 20 s; then its entry and its message are written. Where jobs come back sooner, so do deliveries. */
const LONGEST_VISIBILITY_SECONDS = 60;

export function createOutboxStation(options: OutboxStationOptions): Puller {
  const { queue, pollSeconds, clock, log } = options;
  const visibilitySeconds = Math.min(LONGEST_VISIBILITY_SECONDS, options.visibilitySeconds ?? Infinity);
  const leases = new Leases({ queue, visibilitySeconds, clock, log });
  const acks = new Acks({ queue, leases, clock, log });
  return new Puller({
    queue,
    leases,
    acks,
    capacity: CAPACITY,
    visibilitySeconds,
    pollSeconds,
    work: createRetryDelivery({ ...options, acks }),
    priorityOf: () => 0,
    isReady: () => true,
    ready: async () => {},
    clock,
    log,
  });
}
