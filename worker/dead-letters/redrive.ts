// Both dead-letter queues in a person's hands: looked through, sent back, thrown away. Whatever is looked at is hidden
// from others meanwhile and given back afterwards; nothing leaves a queue before it stands in another.
import { randomUUID } from "node:crypto";
import type { Clock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import { resultKey } from "../job/result.ts";
import { discardCarried, peekRecord, renewRecord } from "../outbox/delivery-record.ts";
import type { DisabledDestinations } from "../outbox/disabled-destinations.ts";
import { ID_ATTRIBUTE, isFifo, type Queue } from "../queue/queue.ts";
import type { Bucket } from "../storage/bucket.ts";
import type { Results } from "../storage/results.ts";
import type { LetterQueue } from "./dead-letter-queue.ts";
import { type DeadLetter, originalId, queueOf, readDeadLetter } from "./read.ts";

export type DeadLetterQueuesOptions = {
  dead: { jobs: LetterQueue; deliveries: LetterQueue };
  /** The first of the jobs' queues gets what does not say where it came from. */
  origin: { jobs: readonly [Queue, ...Queue[]]; deliveries: Queue | undefined };
  bucket: Bucket;
  results: Results;
  marks: DisabledDestinations;
  clock: Pick<Clock, "wall">;
};

/** Long enough to read thousands; this is also how long they stay hidden when the command is killed. */
const HIDDEN_SECONDS = 120;
const MOST = 10_000;

export class DeadLetterQueues {
  readonly #options: DeadLetterQueuesOptions;
  readonly #held = new Map<DeadLetter, LetterQueue>();
  /** Whether the last `open` may not have seen all: of a FIFO queue's group only the first show, ten at most, until they are gone. */
  mayHoldMore = false;

  constructor(options: DeadLetterQueuesOptions) {
    this.#options = options;
  }

  /** Every dead letter that is to be seen, the oldest first, hidden until `close`; of `only` one kind, its queue alone. Throws `queue_unavailable`. */
  async open(only?: DeadLetter["queue"]): Promise<DeadLetter[]> {
    const { jobs, deliveries } = this.#options.dead;
    this.mayHoldMore = false;
    // Without a queue of their own the deliveries stand among the jobs.
    const boxes = new Set(only ? [this.#options.dead[only]] : [jobs, deliveries]);
    const all = await Promise.all(
      [...boxes].map((box) => this.#readAll(box, box === jobs ? "jobs" : "deliveries")),
    );
    const wanted = all.flat().filter(({ queue }) => only === undefined || queue === only);
    return wanted.toSorted((a, b) => (a.lastAt ?? "").localeCompare(b.lastAt ?? ""));
  }

  async #readAll(box: LetterQueue, name: DeadLetter["queue"]): Promise<DeadLetter[]> {
    const found = new Map<string, DeadLetter>();
    while (found.size < MOST) {
      const letters = await box.receiveLetters({ visibilitySeconds: HIDDEN_SECONDS });
      const fresh = letters.filter(({ id }) => !found.has(id));
      if (fresh.length === 0) return [...found.values()];
      this.mayHoldMore ||= isFifo(box);
      for (const letter of fresh) {
        const dead = readDeadLetter(letter, name);
        found.set(letter.id, dead);
        this.#held.set(dead, box);
      }
    }
    this.mayHoldMore = true;
    return [...found.values()];
  }

  /**
   * Sends a letter back to where it came from, then removes it. A crash between leaves both; the same keys make it one
   * effect. Resolves with a word about it when it could not go back to where it came from.
   */
  async redrive(dead: DeadLetter): Promise<string | undefined> {
    const word = await (dead.queue === "jobs" ? this.#redriveJob(dead) : this.#redriveDelivery(dead));
    await this.#remove(dead);
    return word;
  }

  async #redriveJob(dead: DeadLetter): Promise<string | undefined> {
    const { origin, results, bucket } = this.#options;
    // A stored failure would answer in the job's place; a success, if there is one, is to be delivered.
    const stored = await results.find(dead.id);
    if (stored?.status === "failed") await bucket.remove([resultKey(dead.id)]);
    const { id, from, group, letter } = dead;
    const own = queueOf(from, origin.jobs);
    const queue = own ?? origin.jobs[0];
    const original = originalId(letter);
    await queue.send(letter.body, {
      // A body that says an id needs no other, and may leave no room for one.
      ...(id === original && { attributes: { [ID_ATTRIBUTE]: original } }),
      ...(group !== null && { group, deduplicationId: randomUUID() }),
    });
    if (own || (from === null && origin.jobs.length === 1)) return;
    const why =
      from === null ? "it does not say which queue it came from" : `${from} is not in KAMADO_QUEUE_URL`;
    return `${why}; it went to ${queue.url}`;
  }

  async #redriveDelivery({ letter, destination }: DeadLetter): Promise<undefined> {
    const { origin, marks, clock } = this.#options;
    if (!origin.deliveries)
      throw new KamadoError(
        "config_invalid",
        "KAMADO_DELIVERIES_QUEUE_URL: name the queue deliveries go back to.",
      );
    if (!destination)
      throw new KamadoError("invalid_envelope", "It is no delivery; look at it and purge it.");
    await marks.turnOn(destination);
    await origin.deliveries.send(JSON.stringify(renewRecord(JSON.parse(letter.body), clock.wall())));
  }

  /** Removes a letter for good, and what only it needs in the bucket. */
  async purge(dead: DeadLetter): Promise<undefined> {
    const { bucket } = this.#options;
    const carriedBy = ({ letter }: DeadLetter) => peekRecord(letter.body)?.carried;
    const carried = carriedBy(dead);
    const others = [...this.#held.keys()].filter((other) => other !== dead);
    if (carried !== undefined && !others.some((other) => carriedBy(other) === carried))
      await discardCarried(dead.letter.body, bucket);
    await this.#remove(dead);
  }

  async #remove(dead: DeadLetter): Promise<void> {
    const [removed] = await this.#held.get(dead)!.remove([dead.letter.receipt]);
    if (removed !== "ok")
      throw new KamadoError("queue_unavailable", "It could not be removed from the dead-letter queue.");
    this.#held.delete(dead);
  }

  /** Gives back what is still held, so that others see it again at once. */
  async close(): Promise<void> {
    const boxes = new Set(this.#held.values());
    await Promise.all(
      [...boxes].map((box) => {
        const letters = [...this.#held].filter(([, one]) => one === box).map(([{ letter }]) => letter);
        return box.extend(letters.map(({ receipt }) => ({ receipt, seconds: 0 })));
      }),
    );
    this.#held.clear();
  }
}
