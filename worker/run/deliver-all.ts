// The deliver station: a result to each of its job's destinations. One that fails for good costs only itself; one that
// may work later sends the message round again, and then only what is still open is sent.
import { type Deliver, labelOf, nameOf } from "../deliver/deliver.ts";
import { toKamadoError } from "../errors.ts";
import type { Destination, Job } from "../job/envelope.ts";
import { forDelivery, type Result } from "../job/result.ts";
import type { Message } from "../queue/queue.ts";
import type { DeadLetters } from "./dead-letters.ts";
import { Delivered } from "./delivered.ts";
import type { Journal } from "./journal.ts";
import type { Results } from "./results.ts";

export type DeliverAllOptions = {
  deliver: Deliver;
  /** Where a result goes when its job names no destination. */
  fallback: readonly Destination[];
  results: Results;
  deadLetters: DeadLetters;
  journal: Journal;
};

/** Throws the first failure that may pass, when every destination has had its try. */
export type DeliverAll = (
  what: { job: Job; result: Result },
  message: Message,
  cut: AbortSignal,
) => Promise<void>;

export function createDeliverAll(options: DeliverAllOptions): DeliverAll {
  const { deliver, fallback, results, deadLetters, journal } = options;
  const delivered = new Delivered();

  async function one(job: Job, carried: Result, destination: Destination, cut: AbortSignal): Promise<void> {
    const about = { job: job.id, kind: job.kind, to: labelOf(destination) };
    try {
      await deliver({ job, result: carried, input: job.input, destination, signal: cut });
      journal.tell("delivered", { ...about, status: carried.status }, `delivered to ${about.to}`);
    } catch (thrown) {
      const error = toKamadoError(thrown, "delivery_failed");
      if (error.retry) throw error;
      await deadLetters.delivery({ job, destination }, error);
      journal.tell("delivery_failed", { ...about, error: error.code }, error.message);
    }
  }

  return async ({ job, result }, message, cut) => {
    const carried = forDelivery(result, results.address(job.id));
    const settled = delivered.of(message.id);
    const destinations = job.deliver.length > 0 ? job.deliver : fallback;
    const open = destinations.filter((destination) => !settled.has(nameOf(destination)));
    const tries = open.map(async (destination) => {
      await one(job, carried, destination, cut);
      settled.add(nameOf(destination));
    });
    const failure = (await Promise.allSettled(tries)).find((tried) => tried.status === "rejected");
    if (failure) throw failure.reason;
    delivered.forget(message.id);
  };
}
