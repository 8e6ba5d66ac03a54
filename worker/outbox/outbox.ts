// The outbox: deliveries that failed and may work later, as messages of a queue of their own. Once one is here, neither
// its job's message nor the model is needed for it any more.

import type { Clock } from "../async/clock.ts";
import type { KamadoError } from "../errors.ts";
import type { Queue } from "../queue/queue.ts";
import type { Bucket } from "../storage/bucket.ts";
import { type DeliveryRecord, iso, writeRecord } from "./delivery-record.ts";
import { isHeldBack } from "./try-delivery.ts";

/** Resolves when the queue has the delivery. Throws `queue_unavailable` and what the bucket throws. */
export type Outbox = (record: DeliveryRecord, next: { at: number; error: KamadoError }) => Promise<void>;

export type OutboxOptions = {
  queue: Pick<Queue, "send">;
  bucket: Bucket;
  clock: Pick<Clock, "wall">;
};

/** The longest a queue holds a new message back. What is due later is put off by whoever receives it. */
const LONGEST_DELAY_SECONDS = 900;

export function createOutbox({ queue, bucket, clock }: OutboxOptions): Outbox {
  return async (record, { at, error }) => {
    const now = clock.wall();
    const failure = { at: iso(now), code: error.code, message: error.message };
    const tries = record.tries + (isHeldBack(error) ? 0 : 1);
    const waiting = { ...record, tries, notBefore: iso(at), failure };
    const delaySeconds = Math.min(LONGEST_DELAY_SECONDS, Math.max(0, Math.ceil((at - now) / 1_000)));
    await queue.send(await writeRecord(waiting, bucket), { delaySeconds });
  };
}

/** Without a queue for it: a delivery that fails keeps its job's message, which goes round until it works. */
export const noOutbox: Outbox = async (_, { error }) => {
  throw error;
};
