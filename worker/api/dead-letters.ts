// The service behind dead letters in the API and on the pages. Reading hides messages from others, so each call opens the queues, acts and
// closes them, one call after another. What a redrive or a purge does is left to dead-letters/.
import type { Clock } from "../async/clock.ts";
import { Semaphore } from "../async/semaphore.ts";
import { type DeadLetter, isMeant } from "../dead-letters/read.ts";
import type { DeadLetterQueues } from "../dead-letters/redrive.ts";
import { destinationKey } from "../deliver/deliver.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { History } from "../history/history.ts";
import { fresh } from "./jobs.ts";
import type { BulkOutcome, DeadLetterFilter, DeadLetterRow, DeadLettersService } from "./services.ts";

export type DeadLettersOptions = {
  /** Opened for each call. */
  open(): DeadLetterQueues;
  /** How many messages each of the dead-letter queues has. */
  depths(): Promise<{ waiting: number; inFlight: number; delayed: number }>[];
  history: Pick<History, "redriven">;
  clock: Pick<Clock, "now">;
};

/** Characters of a body that is shown. */
const MAX_BODY = 1024 * 1024;

export type DeadLetterActions = DeadLettersService & {
  /** Sends back the deliveries to this destination. */
  redriveTo(key: string): Promise<BulkOutcome>;
};

export function createDeadLettersService(options: DeadLettersOptions): DeadLetterActions {
  const { open, history, clock } = options;
  const turns = new Semaphore(1);
  const opened = <T>(work: (queues: DeadLetterQueues) => Promise<T>): Promise<T> =>
    turns.take(async () => {
      const queues = open();
      try {
        return await work(queues);
      } finally {
        await queues.close();
      }
    });
  const readAll = () =>
    opened(async (queues) => {
      const all = await queues.open();
      return { all, mayHaveMore: queues.mayHaveMore };
    });
  // Several pages that look at the same time cost one read.
  let read = fresh(readAll, clock);

  async function each(isSelected: (dead: DeadLetter) => boolean, act: Act): Promise<BulkOutcome> {
    try {
      return await opened((queues) => actOnAll(queues, isSelected, act));
    } finally {
      read = fresh(readAll, clock);
    }
  }
  const redrive: Act = async (queues, dead) => {
    await queues.redrive(dead);
    if (dead.queue === "jobs") history.redriven(dead.id);
  };

  const count = fresh(async () => {
    let sum = 0;
    for (const looked of await Promise.allSettled(options.depths()))
      if (looked.status === "fulfilled")
        sum += looked.value.waiting + looked.value.inFlight + looked.value.delayed;
    return sum;
  }, clock);

  return {
    count,
    async list(filter = {}) {
      const { all, mayHaveMore } = await read();
      return { items: all.filter((dead) => isWanted(dead, filter)).map(rowOf), mayHaveMore };
    },
    async show(id) {
      const { all } = await read();
      const dead = all.find(({ messageId }) => messageId === id) ?? all.find((one) => one.id === id);
      if (!dead) throw new KamadoError("dead_letter_not_found", `There is no dead letter ${id}.`);
      return { ...rowOf(dead), body: dead.message.body.slice(0, MAX_BODY) };
    },
    redrive: (filter) => each((dead) => isWanted(dead, filter), redrive),
    purge: (filter) =>
      each(
        (dead) => isWanted(dead, filter),
        async (queues, dead) => {
          await queues.purge(dead);
        },
      ),
    redriveTo: (key) =>
      each(({ destination }) => destination !== null && destinationKey(destination) === key, redrive),
  };
}

type Act = (queues: DeadLetterQueues, dead: DeadLetter) => Promise<void>;

/** Those behind others in a FIFO group are found once the others are gone; one that is dead again by now is not met twice. */
async function actOnAll(
  queues: DeadLetterQueues,
  isSelected: (dead: DeadLetter) => boolean,
  act: Act,
): Promise<BulkOutcome> {
  const outcome: BulkOutcome = { matched: 0, done: 0, failed: [] };
  const met = new Set<string>();
  const nameOf = ({ queue, id, to }: DeadLetter) => JSON.stringify([queue, id, to]);
  for (;;) {
    const seen = (await queues.open()).filter((dead) => isSelected(dead) && !met.has(nameOf(dead)));
    for (const dead of seen) {
      outcome.matched++;
      try {
        await act(queues, dead);
        outcome.done++;
      } catch (thrown) {
        const { code, message } = toKamadoError(thrown, "queue_unavailable");
        outcome.failed.push({ id: dead.messageId, code, message });
      }
    }
    for (const dead of seen) met.add(nameOf(dead));
    if (seen.length === 0 || !queues.mayHaveMore) return outcome;
  }
}

function isWanted(dead: DeadLetter, { ids, queue, text }: DeadLetterFilter): boolean {
  if (queue !== undefined && dead.queue !== queue) return false;
  if (ids !== undefined && !ids.includes(dead.messageId) && !ids.includes(dead.id)) return false;
  if (text === undefined || text.trim() === "") return true;
  const { id, messageId, kind, code, reason, to, message } = dead;
  const all = [id, messageId, kind, code, reason, to, message.body.slice(0, MAX_BODY)]
    .join("\n")
    .toLowerCase();
  return (
    text
      .toLowerCase()
      .split(/\s+/)
      .every((word) => all.includes(word)) ||
    (to !== null && isMeant(text, to))
  );
}

const rowOf = (dead: DeadLetter): DeadLetterRow => ({
  messageId: dead.messageId,
  queue: dead.queue,
  job: dead.id,
  kind: dead.kind,
  at: dead.lastAt ?? dead.firstAt,
  reason: { code: dead.code, message: dead.reason, ...(dead.hint !== null && { hint: dead.hint }) },
  to: dead.to,
  tries: dead.receives,
});
