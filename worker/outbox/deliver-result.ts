// Delivers a result to each destination of its job, one try each, while the worker still has the job's message. If a
// destination may take the result later, its delivery goes to the outbox, the queue of deliveries to be tried again; if it
// refuses the result, a dead letter is written. Each destination is independent of the others.
import type { Clock } from "../async/clock.ts";
import { RecentMap } from "../async/recent-map.ts";
import { nameOf } from "../deliver/deliver.ts";
import { KamadoError } from "../errors.ts";
import type { Destination, Job } from "../job/envelope.ts";
import { forDelivery, type Result } from "../job/result.ts";
import type { DeadLetters } from "../queue/dead-letter.ts";
import type { Message, Queue } from "../queue/queue.ts";
import type { Bucket } from "../storage/bucket.ts";
import type { Results } from "../storage/results.ts";
import type { Attempt, DeliveryLog } from "./delivery-log.ts";
import { asDeadLetter, type DeliveryRecord, iso, newRecord, writeRecord } from "./delivery-record.ts";
import { isHeldBack, type Ownership, type TryDelivery } from "./try-delivery.ts";

export type DeliverAllOptions = {
  tryDelivery: TryDelivery;
  /** The queue of the outbox. Without one a delivery that fails keeps its job's message, which is received again. */
  outbox: Pick<Queue, "send"> | undefined;
  /** Where a result goes when its job names no destination. */
  fallback(kind: string): readonly Destination[];
  results: Pick<Results, "address">;
  /** Of deliveries. */
  deadLetters: Pick<DeadLetters, "send">;
  deliveryLog: Pick<DeliveryLog, "addDirect">;
  bucket: Bucket;
  clock: Pick<Clock, "wall">;
};

/**
 * Resolves when the job's message is no longer needed. Throws, after every destination had its try, when one of them has
 * neither the result nor a message in the outbox.
 */
export type DeliverAll = (
  what: { job: Job; result: Result },
  message: Message,
  ownership: Ownership,
) => Promise<void>;

export function createDeliverAll(options: DeliverAllOptions): DeliverAll {
  const { fallback, results, deliveryLog } = options;
  const finished = new Finished();

  return async ({ job, result }, message, ownership) => {
    const carried = forDelivery(result, results.address(job.id));
    // With the status: a job that is sent back after its failure was delivered keeps its id and may succeed.
    const outcome = `${message.id} ${result.status}`;
    const done = finished.of(outcome);
    const destinations = unique(job.deliver.length > 0 ? job.deliver : fallback(job.kind));
    const attempts: Attempt[] = [];
    const tries = destinations
      .filter((destination) => !done.has(nameOf(destination)))
      .map(async (destination) => {
        const now = options.clock.wall();
        const at = { since: now, tries: 0, notBefore: now };
        await deliverOne(newRecord(job, destination, carried, at), attempts, ownership, options);
        done.add(nameOf(destination));
      });
    const failure = (await Promise.allSettled(tries)).find((tried) => tried.status === "rejected");
    if (attempts.length > 0) await deliveryLog.addDirect(job.id, attempts);
    if (failure) throw failure.reason;
    finished.forget(outcome);
  };
}

async function deliverOne(
  record: DeliveryRecord,
  attempts: Attempt[],
  ownership: Ownership,
  { tryDelivery, deadLetters, outbox, bucket, clock }: DeliverAllOptions,
): Promise<void> {
  const tried = await tryDelivery(record, 0, ownership);
  attempts.push(tried.attempt);
  if (tried.is === "delivered") return;
  // The try may have waited long for its turn. If another worker has the job by now, the delivery is that worker's.
  if (!(await ownership.isOurs())) throw new KamadoError("lease_lost", "Another worker has the job.");
  const now = clock.wall();
  const after = { ...record, tries: isHeldBack(tried.error) ? 0 : 1 };
  if (tried.is === "refused") {
    await deadLetters.send(await asDeadLetter(after, [tried.attempt], bucket, now), tried.error);
    return;
  }
  if (!outbox) throw tried.error;
  const { code, message } = tried.error;
  const waiting = { ...after, notBefore: iso(tried.at), failure: { at: iso(now), code, message } };
  const delaySeconds = Math.min(LONGEST_DELAY_SECONDS, Math.max(0, Math.ceil((tried.at - now) / 1_000)));
  await outbox.send(await writeRecord(waiting, bucket), { delaySeconds });
}

/** SQS delays a new message by this at most. redeliver.ts hides a message that arrives before its time. */
const LONGEST_DELAY_SECONDS = 900;

/** A destination that a job names twice counts once: both deliveries would have the same idempotency key. */
const unique = (destinations: readonly Destination[]): Destination[] => [
  ...new Map(destinations.map((destination) => [nameOf(destination), destination])).values(),
];

/** At most so many outcomes are remembered; the oldest are forgotten first. */
const REMEMBERED = 1_000;

/**
 * The destinations that are finished with the outcome of a message, while others failed and the message is received again.
 * It only saves work: another worker that receives the message sends again, with the same idempotency keys.
 */
class Finished {
  readonly #byOutcome = new RecentMap<string, Set<string>>(REMEMBERED);

  /** The names of the finished destinations; the caller adds to the set. */
  of(outcome: string): Set<string> {
    const known = this.#byOutcome.get(outcome) ?? new Set();
    this.#byOutcome.set(outcome, known);
    return known;
  }

  forget(outcome: string): void {
    this.#byOutcome.delete(outcome);
  }
}
