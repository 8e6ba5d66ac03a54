// The deliver stage: a result to each of its job's destinations, each one try with the job's message in hand. One that
// fails for good is put aside, one that may work later goes to the outbox; either costs only itself.
import type { Clock } from "../async/clock.ts";
import { nameOf } from "../deliver/deliver.ts";
import { KamadoError } from "../errors.ts";
import type { Destination, Job } from "../job/envelope.ts";
import { forDelivery, type Result } from "../job/result.ts";
import type { DeadLetters } from "../queue/dead-letter.ts";
import type { Message } from "../queue/queue.ts";
import type { Bucket } from "../storage/bucket.ts";
import type { Results } from "../storage/results.ts";
import type { Attempt, DeliveryLog } from "./delivery-log.ts";
import { asDeadLetter, packRecord } from "./delivery-record.ts";
import type { Outbox } from "./outbox.ts";
import { isHeldBack, type Right, type TryDelivery } from "./try-delivery.ts";

export type DeliverAllOptions = {
  tryDelivery: TryDelivery;
  outbox: Outbox;
  /** Where a result goes when its job names no destination. */
  fallback: readonly Destination[];
  results: Pick<Results, "address">;
  /** Of deliveries. */
  deadLetters: Pick<DeadLetters, "send">;
  bucket: Bucket;
  deliveryLog: Pick<DeliveryLog, "addInHand">;
  clock: Pick<Clock, "wall">;
};

/**
 * Resolves when nothing more depends on the job's message. Throws when a destination has neither its result nor a place in
 * the outbox, once every destination has had its try.
 */
export type DeliverAll = (
  what: { job: Job; result: Result },
  message: Message,
  right: Right,
) => Promise<void>;

export function createDeliverAll(options: DeliverAllOptions): DeliverAll {
  const { tryDelivery, outbox, fallback, results, deadLetters, deliveryLog, bucket, clock } = options;
  const delivered = new Delivered();

  async function one(job: Job, carried: Result, destination: Destination, note: Note, right: Right) {
    const now = clock.wall();
    const record = packRecord(job, destination, carried, { since: now, tries: 0, notBefore: now });
    const tried = await tryDelivery(record, 0, right);
    note(tried.attempt);
    if (tried.is === "delivered") return;
    // It may have waited long for its turn; what another worker has by now is for that one to put anywhere.
    if (!(await right.isOurs())) throw new KamadoError("lease_lost", "Another worker has the job.");
    if (tried.is === "refused") {
      const dead = { ...record, tries: isHeldBack(tried.error) ? 0 : 1 };
      await deadLetters.send(await asDeadLetter(dead, [tried.attempt], bucket, clock.wall()), tried.error);
    }
    if (tried.is === "later") await outbox(record, tried);
  }

  return async ({ job, result }, message, right) => {
    const carried = forDelivery(result, results.address(job.id));
    // A job that is sent back after its failure was told keeps its id and comes with another end.
    const end = `${message.id} ${result.status}`;
    const settled = delivered.of(end);
    const destinations = job.deliver.length > 0 ? job.deliver : fallback;
    const attempts: Attempt[] = [];
    const tries = once(destinations)
      .filter((destination) => !settled.has(nameOf(destination)))
      .map(async (destination) => {
        await one(job, carried, destination, (attempt) => attempts.push(attempt), right);
        settled.add(nameOf(destination));
      });
    const failure = (await Promise.allSettled(tries)).find((tried) => tried.status === "rejected");
    if (attempts.length > 0) await deliveryLog.addInHand(job.id, attempts);
    if (failure) throw failure.reason;
    delivered.forget(end);
  };
}

type Note = (attempt: Attempt) => void;

/** A job that names a destination twice means it once: both would carry the same idempotency key. */
const once = (destinations: readonly Destination[]): Destination[] => [
  ...new Map(destinations.map((destination) => [nameOf(destination), destination])).values(),
];

// Which destinations already have the end that a message came to, while others of its destinations are still being tried.
// Only a saving: another worker that takes the message over sends again, under the same idempotency keys.
/** Ends remembered at most; the oldest are forgotten first. */
const REMEMBERED = 1_000;

export class Delivered {
  readonly #byEnd = new Map<string, Set<string>>();

  /** The names of the destinations that need nothing more. Adding to the set remembers. */
  of(end: string): Set<string> {
    const known = this.#byEnd.get(end) ?? new Set();
    this.#byEnd.delete(end);
    this.#byEnd.set(end, known);
    const [oldest] = this.#byEnd.keys();
    if (this.#byEnd.size > REMEMBERED) this.#byEnd.delete(oldest!);
    return known;
  }

  forget(end: string): void {
    this.#byEnd.delete(end);
  }
}
