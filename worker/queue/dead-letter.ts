// What cannot be dealt with is put aside with its reason: messages into the jobs' dead-letter queue, deliveries into
// theirs. The body stays what it was, so that sending it back is enough; what is known about it rides as attributes.

import type { Clock } from "../async/clock.ts";
import { labelOf } from "../deliver/deliver.ts";
import { KamadoError } from "../errors.ts";
import type { Receipt } from "../job/result.ts";
import type { Attempt } from "../outbox/delivery-log.ts";
import { type DeliveryRecord, iso, renewRecord, writeRecord } from "../outbox/delivery-record.ts";
import type { Bucket } from "../storage/bucket.ts";
import { ID_ATTRIBUTE, type Message, type Queue } from "./queue.ts";

export type DeadLetters = {
  /** Throws when it could not be put aside: then the message must stay where it is. */
  message(message: Message, error: KamadoError, receipt?: Receipt): Promise<void>;
  /** The same for a delivery; `tries` are those that are known. */
  delivery(record: DeliveryRecord, error: KamadoError, tries: readonly Attempt[]): Promise<void>;
};

export type DeadLettersOptions = {
  messages: Pick<Queue, "send">;
  deliveries: Pick<Queue, "send">;
  bucket: Bucket;
  worker: string;
  clock: Pick<Clock, "wall">;
  log(entry: object, text: string): void;
};

export function createDeadLetters(options: DeadLettersOptions): DeadLetters {
  const { messages, deliveries, bucket, worker, clock, log } = options;

  async function put(queue: Pick<Queue, "send">, letter: Letter, error: KamadoError): Promise<void> {
    const { body, group, about, more } = letter;
    const known = { code: error.code, reason: error.message, errors: stackOf(error), worker };
    const attributes = toAttributes({ ...known, "last-at": iso(clock.wall()), ...more });
    await sendWithin(queue, body, attributes, group);
    log({ stage: "dead-letter", error: error.code, ...about }, error.message);
  }

  return {
    message: (message, error, receipt) =>
      put(
        messages,
        {
          body: message.body,
          group: message.group,
          about: { message: message.id },
          more: {
            message: message.id,
            queue: originOf(message),
            receives: message.receiveCount,
            ...(message.sentAt !== null && { "first-at": iso(message.sentAt) }),
            ...(receipt && { receipt }),
          },
        },
        error,
      ),
    async delivery(record, error, tries) {
      const more = {
        "first-at": record.since,
        receives: record.tries,
        receipt: record.result.receipt,
        errors: [...stackOf(error), ...tries.slice(-10).map(inShort)],
      };
      const about = { job: record.job.id, to: labelOf(record.destination) };
      // A round of its own, begun after the last try: whoever sends it back as it is, this is a new delivery.
      const renewed = renewRecord(record, clock.wall() + 1);
      const body = await writeRecord(renewed, bucket);
      await put(deliveries, { body, group: null, about, more }, error);
    },
  };
}

/** The queue a message came from; of a FIFO queue with its group, which a dead-letter queue of the other sort forgets. */
const originOf = ({ queue, group }: Message) =>
  group === null ? queue : `${queue}#${encodeURIComponent(group)}`;

type Letter = { body: string; group: string | null; about: object; more: Record<string, unknown> };

/** What an error says, and what led to it. */
function stackOf(error: unknown): string[] {
  const lines: string[] = [];
  for (let one = error; one instanceof Error && lines.length < 5; one = one.cause)
    lines.push(`${one instanceof KamadoError ? one.code : one.name}: ${one.message}`.slice(0, 500));
  return lines;
}

const inShort = ({ at, outcome, status, error }: Attempt) =>
  [at, outcome, error, status].filter((word) => word !== undefined).join(" ");

const toAttributes = (known: Record<string, unknown>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(known).map(([name, value]) => [
      `kamado-${name}`,
      attributeText(typeof value === "string" ? value : JSON.stringify(value)),
    ]),
  );

// SQS takes a narrow range of characters and refuses an empty value.
const attributeText = (text: string) =>
  text.replaceAll(/[^\t\n\r\u0020-\uD7FF\uE000-\uFFFD]/g, "?").slice(0, 4_096) || "unknown";

/** What sends a letter back to where it was, as what it was; and why it is here. */
const NEEDED = ["kamado-code", ID_ATTRIBUTE, "kamado-queue"];

/** A body may leave no room for its attributes: then it goes with what is needed, with its code alone, or bare, rather than not at all. */
async function sendWithin(
  queue: Pick<Queue, "send">,
  body: string,
  all: Record<string, string>,
  group: string | null,
) {
  const only = (names: readonly string[]) =>
    Object.fromEntries(Object.entries(all).filter(([name]) => names.includes(name)));
  for (const attributes of [all, only(NEEDED), only(NEEDED.slice(0, 1)), {}]) {
    try {
      return void (await queue.send(body, { attributes, ...(group !== null && { group }) }));
    } catch (thrown) {
      const isTooLarge = thrown instanceof KamadoError && thrown.code === "body_too_large";
      if (!isTooLarge || Object.keys(attributes).length === 0) throw thrown;
    }
  }
}
