// Writes dead letters: what cannot be processed goes to a dead-letter queue. The body stays as it was, so that it can be sent
// back unchanged; the reason and what else is known are message attributes. Reading and redriving is in dead-letters/.
import type { Clock } from "../async/clock.ts";
import { KamadoError, stackOf } from "../errors.ts";
import type { Receipt } from "../job/result.ts";
import { traceFields } from "../job/trace-context.ts";
import { printable } from "../printable.ts";
import { ID_ATTRIBUTE, type Message, type Queue } from "./queue.ts";

/** The attribute with the error's code. */
export const CODE_ATTRIBUTE = "kamado-code";

/** What becomes a dead letter. */
export type Undeliverable = {
  body: string;
  /** The group it keeps in a FIFO dead-letter queue. */
  group: string | null;
  /** Each becomes a message attribute, `kamado-<name>`; anything but a string is written as JSON. */
  attributes: Record<string, unknown>;
  /** What led to it, in order; it follows the error and the error's causes in `kamado-errors`. */
  history?: readonly string[];
  /** The log line's fields. */
  about: Record<string, unknown>;
};

/** One dead-letter queue. Both calls throw when the queue does not take the dead letter; the message must then stay where it is. */
export type DeadLetters = {
  send(undeliverable: Undeliverable, error: KamadoError): Promise<void>;
  /** A received message, as it is. */
  message(message: Message, error: KamadoError, receipt?: Receipt): Promise<void>;
};

export type DeadLettersOptions = {
  queue: Pick<Queue, "send">;
  worker: string;
  clock: Pick<Clock, "wall">;
  log: { warn(fields: Record<string, unknown>, text: string): void };
};

export function createDeadLetters({ queue, worker, clock, log }: DeadLettersOptions): DeadLetters {
  async function send(undeliverable: Undeliverable, error: KamadoError): Promise<void> {
    const { body, group, about, history = [] } = undeliverable;
    const attributes = toAttributes({
      code: error.code,
      reason: error.message,
      errors: [...chainOf(error), ...history],
      worker,
      "last-at": new Date(clock.wall()).toISOString(),
      ...undeliverable.attributes,
    });
    await sendWithin(queue, body, attributes, group);
    log.warn({ stage: "dead-letter", error: error.code, ...about }, error.message);
  }
  return { send, message: (message, error, receipt) => send(fromMessage(message, receipt), error) };
}

function fromMessage(message: Message, receipt: Receipt | undefined): Undeliverable {
  const { id, body, group, receiveCount, sentAt, trace, tenant } = message;
  return {
    body,
    group,
    about: { message: id },
    attributes: {
      message: id,
      queue: originOf(message),
      receives: receiveCount,
      ...(sentAt !== null && { "first-at": new Date(sentAt).toISOString() }),
      // SQS takes ten attributes, so trace and tenant have none of their own.
      ...((receipt || trace || tenant) && {
        receipt: { ...receipt, ...traceFields(trace ?? {}), ...(tenant && { tenant }) },
      }),
    },
  };
}

/** The queue that a message came from, with its FIFO group: a dead-letter queue that is not FIFO does not keep the group. */
const originOf = ({ queue, group }: Message) =>
  group === null ? queue : `${queue}#${encodeURIComponent(group)}`;

/** An error and its causes, one line each, and the calls that led to the innermost where it is no error of ours. */
function chainOf(error: unknown): string[] {
  const lines: string[] = [];
  for (let one = error; one instanceof Error && lines.length < 5; one = one.cause)
    lines.push(
      printable(`${one instanceof KamadoError ? one.code : one.name}: ${one.message}`, { max: 500 }),
    );
  const [, ...calls] = stackOf(error)?.split("\n") ?? [];
  return [...lines, ...calls.map((call) => call.trim())];
}

const toAttributes = (known: Record<string, unknown>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(known).map(([name, value]) => [
      `kamado-${name}`,
      attributeText(typeof value === "string" ? value : JSON.stringify(value)),
    ]),
  );

// SQS accepts neither control characters nor an empty value.
const attributeText = (text: string) => printable(text, { lines: true }) || "unknown";

/** The reason, and what a redrive needs to send the message back to its queue under its id. */
const NEEDED = [CODE_ATTRIBUTE, ID_ATTRIBUTE, "kamado-queue"];

/** A long body may leave no room for attributes. Then fewer are sent: those that are needed, the code alone, or none. */
async function sendWithin(
  queue: Pick<Queue, "send">,
  body: string,
  all: Record<string, string>,
  group: string | null,
): Promise<void> {
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
