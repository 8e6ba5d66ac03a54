// The life of one outbox message: a try when it is due, then gone, put off, or put aside. It is never sent anew: one
// message from the first failure to the last try, hidden in between, so that no crash can lose or double it. When the next
// try is due stands in the delivery log; without the log it would come a little early, under the same idempotency key.

import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import type { Ending } from "../consumer/acks.ts";
import type { Lease } from "../consumer/lease.ts";
import { destinationKey } from "../deliver/deliver.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { JobEvents } from "../logging/job-events.ts";
import type { DeadLetters } from "../queue/dead-letter.ts";
import type { Message } from "../queue/queue.ts";
import type { Bucket } from "../storage/bucket.ts";
import type { Attempt, DeliveryLog } from "./delivery-log.ts";
import {
  asDeadLetter,
  type DeliveryRecord,
  discardCarried,
  peekRecord,
  readDeliveryRecord,
} from "./delivery-record.ts";
import { triesByReceipts } from "./schedule.ts";
import type { TryDelivery } from "./try-delivery.ts";

export type RetryDeliveryOptions = {
  tryDelivery: TryDelivery;
  deliveryLog: DeliveryLog;
  deadLetters: DeadLetters;
  bucket: Bucket;
  jobEvents: JobEvents;
  /** The schedule, when it is another than the usual one. */
  delaysMs?: readonly number[] | undefined;
  clock: Clock;
};

/** What to do with a delivery that was received: pure. */
export type Step = { is: "drop" } | { is: "wait"; ms: number } | { is: "try"; tries: number };

export function stepOf(
  record: DeliveryRecord,
  past: readonly Attempt[] | null,
  { receiveCount }: Pick<Message, "receiveCount">,
  now: number,
  delaysMs?: readonly number[],
): Step {
  const here = (past ?? []).filter(({ at, result }) => at >= record.since && result === record.result.status);
  // A second message of the same delivery, or this one when its deletion failed.
  if (here.some(({ outcome }) => outcome === "delivered" || outcome === "refused")) return { is: "drop" };
  const due = Math.max(Date.parse(record.notBefore), Date.parse(here.at(-1)?.nextAt ?? record.notBefore));
  if (due > now) return { is: "wait", ms: due - now };
  const made = here.filter(({ outcome }) => outcome !== "held back").length;
  if (past) return { is: "try", tries: Math.max(record.tries, made) };
  // Without a log, receipts stand in for tries; some were none, and then the schedule goes on a little faster.
  const round = { since: Date.parse(record.since), now, ...(delaysMs && { delaysMs }) };
  return { is: "try", tries: triesByReceipts(record.tries, receiveCount - 1, round) };
}

/** Whether the receiver has this result, of whichever round. */
const wasDelivered = (past: readonly Attempt[] | null, status: string | undefined) =>
  (past ?? []).some(({ outcome, result }) => outcome === "delivered" && result === status);

/** Never throws: whatever happens, the message is deleted, hidden, or left to come again. */
export function createRetryDelivery(options: RetryDeliveryOptions) {
  const { tryDelivery, deliveryLog, deadLetters, bucket, jobEvents, delaysMs, clock } = options;

  // Nobody asks for it again, for the log says that it was delivered; an object that stays costs room and nothing else.
  const discard = (body: string) => discardCarried(body, bucket).catch(() => {});

  /** The record, and what the log says of it; no record when what it carried was removed, delivered. */
  async function unpack(body: string): Promise<{ record: DeliveryRecord | null; past: Attempt[] | null }> {
    const note = peekRecord(body);
    const past = note && (await deliveryLog.of(note.job.id, destinationKey(note.destination)));
    const record = await readDeliveryRecord(body, bucket).catch((thrown) => {
      if (wasDelivered(past, note?.status) && isGone(thrown)) return null;
      if (past || !isGone(thrown)) throw thrown;
      throw new KamadoError("storage_unavailable", "The delivery log cannot be read.", { cause: thrown });
    });
    return { record, past };
  }

  async function visit(lease: Lease, cut: AbortSignal): Promise<Ending> {
    const { message } = lease;
    const { record, past } = await unpack(message.body);
    if (!record) return "delete";
    const step = stepOf(record, past, message, clock.wall(), delaysMs);
    if (step.is === "drop") {
      // One that was put aside instead is still needed there.
      if (wasDelivered(past, record.result.status)) await discard(message.body);
      return "delete";
    }
    if (step.is === "wait") return after(step.ms);
    const tried = await tryDelivery(record, step.tries, {
      isOurs: () => lease.confirm(),
      signal: AbortSignal.any([lease.signal, cut]),
    });
    // What another worker may hold by now is not ours to put aside; that it was tried is true all the same.
    const isOurs = await lease.confirm();
    if (isOurs && tried.is === "refused") {
      const dead = { ...record, tries: tried.attempt.attempt };
      const tries = [...(past ?? []), tried.attempt];
      await deadLetters.send(await asDeadLetter(dead, tries, bucket, clock.wall()), tried.error);
    }
    const isWritten = await deliveryLog.add(record.job.id, tried.attempt);
    if (!isOurs) return "leave";
    if (tried.is === "delivered" && isWritten) await discard(message.body);
    if (tried.is !== "later") return "delete";
    // Where the log cannot be written the count of tries would stand still, and the waits with it.
    const floor = isWritten ? 0 : backoffMs(message.receiveCount, { baseMs: 5_000, maxMs: 3_600_000 });
    return after(Math.max(tried.at - clock.wall(), floor));
  }

  async function carryOn(lease: Lease, cut: AbortSignal, thrown: unknown): Promise<Ending> {
    const error = toKamadoError(thrown, "delivery_failed");
    if (lease.signal.aborted || error.code === "lease_lost") return "leave";
    if (cut.aborted) return { releaseAfterSeconds: 0 };
    jobEvents.emit({ stage: "delivery_failed", job: lease.message.id, error: error.code }, error.message);
    if (error.retry) return after(backoffMs(lease.message.receiveCount, { baseMs: 5_000, maxMs: 900_000 }));
    await deadLetters.message(lease.message, error);
    return "delete";
  }

  return async (lease: Lease, cut: AbortSignal): Promise<Ending> => {
    if (!(await lease.confirm())) return "leave";
    const ending = await visit(lease, cut)
      .catch((thrown) => carryOn(lease, cut, thrown))
      .catch((): Ending => after(60_000));
    return (await lease.confirm()) ? ending : "leave";
  };
}

const isGone = (thrown: unknown) => toKamadoError(thrown, "storage_unavailable").code === "object_not_found";

const after = (ms: number): Ending => ({ releaseAfterSeconds: Math.max(1, Math.ceil(ms / 1_000)) });
