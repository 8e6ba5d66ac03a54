// Tries a delivery from the outbox again. A delivery is one message from its first failure to its last try. It is hidden between
// tries and never sent anew, so that a crash can neither lose nor duplicate it. The delivery log says when the next try is due.
// Without the log a try may come a little early, with the same idempotency key.
import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import type { Ending } from "../consumer/acks.ts";
import type { RunControls } from "../consumer/consumer.ts";
import type { Lease } from "../consumer/lease.ts";
import { destinationKey } from "../deliver/deliver.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import { eventOf } from "../job/result.ts";
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
import { triesByReceives } from "./schedule.ts";
import type { TryDelivery } from "./try-delivery.ts";

export type RedeliverOptions = {
  tryDelivery: TryDelivery;
  deliveryLog: DeliveryLog;
  deadLetters: DeadLetters;
  bucket: Bucket;
  jobEvents: JobEvents;
  /** Undefined: the usual schedule. */
  delaysMs?: readonly number[] | undefined;
  clock: Clock;
};

/** What to do with a delivery that was received. */
export type Step = { is: "drop" } | { is: "wait"; ms: number } | { is: "try"; tries: number };

/** Pure. */
export function stepOf(
  record: DeliveryRecord,
  past: readonly Attempt[] | null,
  { receiveCount }: Pick<Message, "receiveCount">,
  now: number,
  delaysMs?: readonly number[],
): Step {
  const here = (past ?? []).filter(
    ({ at, result }) => at >= record.since && result === eventOf(record.result),
  );
  // This message was received again because its deletion failed, or it is a second one of the same delivery.
  if (here.some(({ outcome }) => outcome === "delivered" || outcome === "refused")) return { is: "drop" };
  const due = Math.max(Date.parse(record.notBefore), Date.parse(here.at(-1)?.nextAt ?? record.notBefore));
  if (due > now) return { is: "wait", ms: due - now };
  const made = here.filter(({ outcome }) => outcome !== "held back").length;
  if (past) return { is: "try", tries: Math.max(record.tries, made) };
  // Without a log receives are counted instead of tries. Some receives made no try, so the schedule is a little faster.
  const round = { since: Date.parse(record.since), now, ...(delaysMs && { delaysMs }) };
  return { is: "try", tries: triesByReceives(record.tries, receiveCount - 1, round) };
}

/** Whether the receiver has this result, from this round or an earlier one. */
const wasDelivered = (past: readonly Attempt[] | null, event: string | undefined) =>
  (past ?? []).some(({ outcome, result }) => outcome === "delivered" && result === event);

/** The function never throws: in any case the message is deleted, hidden, or left to be received again. */
export function createRedeliver(options: RedeliverOptions) {
  const { tryDelivery, deliveryLog, deadLetters, bucket, jobEvents, delaysMs, clock } = options;

  // The log says that the delivery is done, so nobody reads the object again; one that stays only takes up space.
  const discard = (body: string) => discardCarried(body, bucket).catch(() => {});

  /** The record and its logged tries. No record when it was delivered and its object in the bucket is removed. */
  async function read(body: string): Promise<{ record: DeliveryRecord | null; past: Attempt[] | null }> {
    const known = peekRecord(body);
    const past = known && (await deliveryLog.of(known.job.id, destinationKey(known.destination)));
    const record = await readDeliveryRecord(body, bucket).catch((thrown) => {
      if (wasDelivered(past, known?.status) && isGone(thrown)) return null;
      if (past || !isGone(thrown)) throw thrown;
      throw new KamadoError("storage_unavailable", "The delivery log cannot be read.", { cause: thrown });
    });
    return { record, past };
  }

  async function redeliver(lease: Lease, cut: AbortSignal): Promise<Ending> {
    const { message } = lease;
    const { record, past } = await read(message.body);
    if (!record) return "delete";
    const step = stepOf(record, past, message, clock.wall(), delaysMs);
    if (step.is === "drop") {
      // A dead letter still needs the object in the bucket.
      if (wasDelivered(past, eventOf(record.result))) await discard(message.body);
      return "delete";
    }
    if (step.is === "wait") return after(step.ms);
    const tried = await tryDelivery(record, step.tries, {
      isOurs: () => lease.confirm(),
      signal: AbortSignal.any([lease.signal, cut]),
    });
    // If another worker has the delivery by now, only the try is logged; a dead letter is that worker's to write.
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
    // If the log cannot be written, the next try does not know of this one, so the wait would not grow.
    const atLeast = isWritten ? 0 : backoffMs(message.receiveCount, { baseMs: 5_000, maxMs: 3_600_000 });
    return after(Math.max(tried.at - clock.wall(), atLeast));
  }

  async function recover(lease: Lease, cut: AbortSignal, thrown: unknown): Promise<Ending> {
    const error = toKamadoError(thrown, "delivery_failed");
    if (lease.signal.aborted || error.code === "lease_lost") return "leave";
    if (cut.aborted) return { releaseAfterSeconds: 0 };
    jobEvents.emit({ stage: "delivery_failed", job: lease.message.id, error: error.code }, error.message);
    if (error.retry) return after(backoffMs(lease.message.receiveCount, { baseMs: 5_000, maxMs: 900_000 }));
    await deadLetters.message(lease.message, error);
    return "delete";
  }

  return async (lease: Lease, { cut }: Pick<RunControls, "cut">): Promise<Ending> => {
    if (!(await lease.confirm())) return "leave";
    const ending = await redeliver(lease, cut)
      .catch((thrown) => recover(lease, cut, thrown))
      .catch((): Ending => after(60_000));
    return (await lease.confirm()) ? ending : "leave";
  };
}

const isGone = (thrown: unknown) => toKamadoError(thrown, "storage_unavailable").code === "object_not_found";

const after = (ms: number): Ending => ({ releaseAfterSeconds: Math.max(1, Math.ceil(ms / 1_000)) });
