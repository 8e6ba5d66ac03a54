// The dead-letter queues of jobs and deliveries in a person's hands: read, redrive, purge. Reading hides the messages from
// others until `close`. A redrive sends a message before it removes it, so that no crash can lose one.
import { randomUUID } from "node:crypto";
import type { Clock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import { type Job, parseBody } from "../job/envelope.ts";
import { isResultOf, jobHash } from "../job/job-hash.ts";
import { resultKey } from "../job/result.ts";
import { isTenantName } from "../job/tenant.ts";
import { type TraceFields, traceFields } from "../job/trace-context.ts";
import { forgetAttempts } from "../job-lock/lock.ts";
import { discardCarried, peekRecord, renewRecord } from "../outbox/delivery-record.ts";
import type { DisabledDestinations } from "../outbox/disabled-destinations.ts";
import { ID_ATTRIBUTE, isFifo, type Queue, TENANT_ATTRIBUTE } from "../queue/queue.ts";
import type { Bucket } from "../storage/bucket.ts";
import type { Results } from "../storage/results.ts";
import type { DeadLetterQueue } from "./dead-letter-queue.ts";
import { type DeadLetter, originalId, queueOf, readDeadLetter } from "./read.ts";

export type DeadLetterQueuesOptions = {
  dead: { jobs: DeadLetterQueue; deliveries: DeadLetterQueue };
  /** Where they are sent back to. The first of the jobs' queues takes jobs whose own queue is unknown. */
  origin: { jobs: readonly [Queue, ...Queue[]]; deliveries: Queue | undefined };
  bucket: Bucket;
  results: Results;
  disabledDestinations: DisabledDestinations;
  clock: Pick<Clock, "wall">;
};

/** The job that a dead letter's body holds; undefined for one that only names an object, which does not say which job it is. */
function jobIn({ message }: DeadLetter): Job | undefined {
  const parsed = parseBody(message.body, { messageId: originalId(message), rules: [] });
  return parsed.is === "job" ? parsed.job : undefined;
}

/** Long enough to read thousands of messages. If the command is killed, they stay hidden for this long. */
const HIDDEN_SECONDS = 120;
const MOST = 10_000;

export class DeadLetterQueues {
  readonly #options: DeadLetterQueuesOptions;
  readonly #held = new Map<DeadLetter, DeadLetterQueue>();
  /** Whether there may be more than the last `open` found: a FIFO queue shows only the first ten of a group until they are gone. */
  mayHaveMore = false;

  constructor(options: DeadLetterQueuesOptions) {
    this.#options = options;
  }

  /** All dead letters that can be seen, the oldest first. They stay hidden from others until `close`. With `only`, reads one queue. Throws `queue_unavailable`. */
  async open(only?: DeadLetter["queue"]): Promise<DeadLetter[]> {
    const { jobs, deliveries } = this.#options.dead;
    this.mayHaveMore = false;
    // Jobs and deliveries may share one queue.
    const isShared = jobs.url === deliveries.url;
    const queues = isShared ? [jobs] : only ? [this.#options.dead[only]] : [jobs, deliveries];
    const all = await Promise.all(
      queues.map((queue) => this.#readAll(queue, queue === jobs ? "jobs" : "deliveries")),
    );
    const wanted = all.flat().filter(({ queue }) => only === undefined || queue === only);
    return wanted.toSorted((a, b) => (a.lastAt ?? "").localeCompare(b.lastAt ?? ""));
  }

  async #readAll(queue: DeadLetterQueue, name: DeadLetter["queue"]): Promise<DeadLetter[]> {
    const found = new Map<string, DeadLetter>();
    while (found.size < MOST) {
      const messages = await queue.receiveDead({ visibilitySeconds: HIDDEN_SECONDS });
      const fresh = messages.filter(({ id }) => !found.has(id));
      if (fresh.length === 0) return [...found.values()];
      this.mayHaveMore ||= isFifo(queue);
      for (const message of fresh) {
        const dead = readDeadLetter(message, name, this.#options.origin.deliveries?.url);
        found.set(message.id, dead);
        this.#held.set(dead, queue);
      }
    }
    this.mayHaveMore = true;
    return [...found.values()];
  }

  /**
   * Sends a dead letter back to where it came from, then removes it. After a crash in between it is in both queues; the same
   * keys make it one effect. Resolves with a remark when it went to another queue.
   */
  async redrive(dead: DeadLetter): Promise<string | undefined> {
    const remark = await (dead.queue === "jobs" ? this.#redriveJob(dead) : this.#redriveDelivery(dead));
    await this.#remove(dead);
    return remark;
  }

  async #redriveJob(dead: DeadLetter): Promise<string | undefined> {
    const { origin, results, bucket } = this.#options;
    const { from, group, message } = dead;
    const original = originalId(message);
    const job = jobIn(dead);
    // The id that is shown for a body that is no job may be another job's.
    const id = job?.id ?? original;
    // With a stored failure the job would not run again. A stored success stays: it will be delivered.
    const stored = await results.find(id);
    if (stored === null || job === undefined || isResultOf(job, stored)) {
      if (stored?.status === "failed") await bucket.remove([resultKey(id)]);
      await forgetAttempts(bucket, id, job && jobHash(job));
    }
    const own = queueOf(from, origin.jobs);
    const queue = own ?? origin.jobs[0];
    await queue.send(message.body, {
      // The id only if the job has none of its own. A body may be so long that it leaves no room for attributes.
      attributes: {
        ...(id === original && { [ID_ATTRIBUTE]: original }),
        ...traceOf(dead),
        ...tenantAttribute(dead),
      },
      ...(group !== null && { group, deduplicationId: randomUUID() }),
    });
    if (own || (from === null && origin.jobs.length === 1)) return;
    const why =
      from === null ? "the queue it came from is unknown" : `its queue ${from} is not in KAMADO_QUEUE_URL`;
    return `${why}; it went to ${queue.url}`;
  }

  async #redriveDelivery({ message, destination }: DeadLetter): Promise<undefined> {
    const { origin, disabledDestinations, clock } = this.#options;
    if (!origin.deliveries)
      throw new KamadoError(
        "config_invalid",
        "KAMADO_DELIVERIES_QUEUE_URL: set it to the queue that deliveries are sent back to.",
      );
    if (!destination)
      throw new KamadoError("invalid_envelope", "The dead letter is no delivery; look at it and purge it.");
    await disabledDestinations.turnOn(destination);
    await origin.deliveries.send(JSON.stringify(renewRecord(JSON.parse(message.body), clock.wall())));
  }

  /** Deletes a dead letter, and what only it needs in the bucket. */
  async purge(dead: DeadLetter): Promise<undefined> {
    const carriedBy = ({ queue, message }: DeadLetter) =>
      queue === "deliveries" ? peekRecord(message.body)?.carried : undefined;
    const carried = carriedBy(dead);
    const others = [...this.#held.keys()].filter((other) => other !== dead);
    if (carried !== undefined && !others.some((other) => carriedBy(other) === carried))
      await discardCarried(dead.message.body, this.#options.bucket);
    await this.#remove(dead);
  }

  async #remove(dead: DeadLetter): Promise<void> {
    const [removed] = await this.#held.get(dead)!.remove([dead.message.handle]);
    if (removed !== "ok")
      throw new KamadoError("queue_unavailable", "It could not be removed from the dead-letter queue.");
    this.#held.delete(dead);
  }

  /** Shows what is still held to others again. */
  async close(): Promise<void> {
    const queues = new Set(this.#held.values());
    await Promise.all(
      [...queues].map((queue) => {
        const own = [...this.#held].filter(([, one]) => one === queue).map(([{ message }]) => message);
        return queue.extend(own.map(({ handle }) => ({ handle, seconds: 0 })));
      }),
    );
    this.#held.clear();
  }
}

/** Of the message that it was: dead-letter.ts wrote it into the receipt; one that SQS itself moved still has its attributes. */
const traceOf = ({ receipt, message }: DeadLetter): Record<string, string> => ({
  ...traceFields(message.attributes),
  ...traceFields((receipt ?? {}) as TraceFields),
});

/** The tenant that its message named: its receipt has it, and one that SQS itself moved still has its group. */
function tenantAttribute({ receipt, message }: DeadLetter): Record<string, string> {
  const { tenant = message.tenant } = (receipt ?? {}) as { tenant?: unknown };
  return isTenantName(tenant) ? { [TENANT_ATTRIBUTE]: tenant } : {};
}
