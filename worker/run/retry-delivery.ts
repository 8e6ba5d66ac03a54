// The life of one outbox message: a try when it is due, then gone, put off, or put aside. It is never sent anew: one
// message from the first failure to the last try, hidden in between, so that no crash can lose or double it. When the next
// try is due stands in the delivery log; without the log it would come a little early, under the same idempotency key.
import type { Blobs } from "../blobs/blobs.ts";
import type { Clock } from "../clock.ts";
import { destinationKey } from "../deliver/delivery-id.ts";
import { toKamadoError } from "../errors.ts";
import type { Message } from "../queue/queue.ts";
import type { Acks } from "./acks.ts";
import { backoffMs } from "./backoff.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { Attempt, DeliveryLog } from "./delivery-log.ts";
import type { Journal } from "./journal.ts";
import type { Lease } from "./lease.ts";
import { type Parcel, readParcel } from "./parcel.ts";
import type { Ending } from "./settle.ts";
import type { TryDelivery } from "./try-delivery.ts";

export type RetryDeliveryOptions = {
  tryDelivery: TryDelivery;
  deliveryLog: DeliveryLog;
  deadLetters: DeadLetters;
  acks: Acks;
  blobs: Blobs;
  bucket: string;
  journal: Journal;
  clock: Clock;
};

/** What to do with a delivery that was received: pure. */
export type Step = { is: "drop" } | { is: "wait"; ms: number } | { is: "try"; tries: number };

export function stepOf(
  parcel: Parcel,
  past: readonly Attempt[] | null,
  { receiveCount }: Pick<Message, "receiveCount">,
  now: number,
): Step {
  const here = (past ?? []).filter(({ at, result }) => at >= parcel.since && result === parcel.result.status);
  // A second message of the same delivery, or this one when its deletion failed.
  if (here.some(({ outcome }) => outcome === "delivered" || outcome === "refused")) return { is: "drop" };
  const due = Math.max(Date.parse(parcel.notBefore), Date.parse(here.at(-1)?.nextAt ?? parcel.notBefore));
  if (due > now) return { is: "wait", ms: due - now };
  // Without a log, receipts stand in for tries; some were none, and then the schedule goes on a little faster.
  return { is: "try", tries: past ? Math.max(parcel.tries, here.length) : parcel.tries + receiveCount - 1 };
}

/** Never throws: whatever happens, the message is deleted, hidden, or left to come again. */
export function createRetryDelivery(options: RetryDeliveryOptions) {
  const { tryDelivery, deliveryLog, deadLetters, acks, blobs, bucket, journal, clock } = options;

  async function visit(lease: Lease, cut: AbortSignal): Promise<Ending> {
    const { message } = lease;
    const parcel = await readParcel(message.body, blobs, bucket);
    const past = await deliveryLog.of(parcel.job.id, destinationKey(parcel.destination));
    const step = stepOf(parcel, past, message, clock.wall());
    if (step.is === "drop") return "delete";
    if (step.is === "wait") return after(step.ms);
    const tried = await tryDelivery(parcel, step.tries, AbortSignal.any([lease.signal, cut]));
    // What another worker may hold by now is not ours to put aside; that it was tried is true all the same.
    const isOurs = await lease.confirm();
    if (isOurs && tried.is === "refused")
      await deadLetters.delivery({ ...parcel, tries: tried.attempt.attempt }, tried.error, [
        ...(past ?? []),
        tried.attempt,
      ]);
    const isWritten = await deliveryLog.add(parcel.job.id, tried.attempt);
    if (!isOurs) return "leave";
    if (tried.is !== "later") return "delete";
    // Where the log cannot be written the count of tries would stand still, and the waits with it.
    const floor = isWritten ? 0 : backoffMs(message.receiveCount, { baseMs: 5_000, maxMs: 3_600_000 });
    return after(Math.max(tried.at - clock.wall(), floor));
  }

  async function carryOn(lease: Lease, cut: AbortSignal, thrown: unknown): Promise<Ending> {
    if (lease.signal.aborted) return "leave";
    if (cut.aborted) return { releaseAfterSeconds: 0 };
    const error = toKamadoError(thrown, "delivery_failed");
    journal.tell("delivery_failed", { job: lease.message.id, error: error.code }, error.message);
    if (error.retry) return after(backoffMs(lease.message.receiveCount, { baseMs: 5_000, maxMs: 900_000 }));
    await deadLetters.message(lease.message, error);
    return "delete";
  }

  return async (lease: Lease, cut: AbortSignal): Promise<boolean> => {
    const ending = (await lease.confirm())
      ? await visit(lease, cut)
          .catch((thrown) => carryOn(lease, cut, thrown))
          .catch((): Ending => after(60_000))
      : "leave";
    if (ending === "leave" || !(await lease.confirm())) lease.lose("left to the queue");
    else if (ending === "delete") void acks.delete(lease);
    else void acks.release(lease, ending.releaseAfterSeconds);
    return ending === "delete";
  };
}

const after = (ms: number): Ending => ({ releaseAfterSeconds: Math.max(1, Math.ceil(ms / 1_000)) });
