// A dead letter as a person reads it: what it is, why and when it died, what was tried. Pure.
import { labelOf } from "../deliver/deliver.ts";
import { ERRORS, type ErrorCode } from "../errors.ts";
import { type Destination, parseBody } from "../job/envelope.ts";
import { peekRecord } from "../outbox/delivery-record.ts";
import { ID_ATTRIBUTE } from "../queue/queue.ts";
import type { Letter } from "./dead-letter-queue.ts";

export type DeadLetter = {
  queue: "jobs" | "deliveries";
  /** The job's id; the message's where the body says none. */
  id: string;
  messageId: string;
  /** The address or ARN of the queue it came from, and its group there; null when nobody said. */
  from: string | null;
  group: string | null;
  kind: string | null;
  /** Why; `received_too_often` when the queue itself put it aside, which says no more. */
  code: string;
  reason: string;
  hint: string | null;
  errors: string[];
  destination: Destination | null;
  /** The destination without what may be a token. */
  to: string | null;
  firstAt: string | null;
  lastAt: string | null;
  receives: number | null;
  worker: string | null;
  receipt: unknown;
  letter: Letter;
};

export function readDeadLetter(letter: Letter, found: "jobs" | "deliveries"): DeadLetter {
  const said = (name: string): string | null => letter.attributes[`kamado-${name}`] ?? null;
  const code = said("code") ?? "received_too_often";
  const record = peekRecord(letter.body);
  const [from, group] = (said("queue") ?? letter.movedFrom ?? "").split("#");
  return {
    ...whatItIs(letter, originalId(letter)),
    queue: record ? "deliveries" : found,
    messageId: letter.id,
    from: from || null,
    group: group === undefined ? letter.group : decoded(group),
    code,
    reason: said("reason") ?? "The queue put it aside: it was received too often and never ended.",
    hint: ERRORS[code as ErrorCode]?.hint ?? null,
    errors: listOf(said("errors")),
    firstAt: said("first-at") ?? (letter.sentAt === null ? null : new Date(letter.sentAt).toISOString()),
    lastAt: said("last-at"),
    receives: said("receives") === null ? null : Number(said("receives")),
    worker: said("worker"),
    receipt: parseOr(said("receipt"), null),
    letter,
  };
}

/** The id a message had before it was put aside; one that SQS itself moved still has it. */
export const originalId = ({ id, attributes }: Pick<Letter, "id" | "attributes">): string =>
  attributes[ID_ATTRIBUTE] ?? id;

/** The queue that an address or an ARN means; hosts differ from machine to machine, account and name do not. */
export function queueOf<Q extends { url: string }>(from: string | null, queues: readonly Q[]): Q | undefined {
  if (from === null) return undefined;
  const tail = (name: string) => name.split(/[/:]/).slice(-2).join("/");
  return queues.find(({ url }) => url === from) ?? queues.find(({ url }) => tail(url) === tail(from));
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Whether a person who names a destination means this one: by its label, its host, or where its address begins. */
export function isMeant(asked: string, to: string, address?: string): boolean {
  const own = to.slice(to.indexOf(":") + 1);
  const host = URL.canParse(own) ? new URL(own).host : own;
  return [to, own, host].includes(asked) || (address?.startsWith(asked) ?? false);
}

function whatItIs(
  { body }: Letter,
  messageId: string,
): Pick<DeadLetter, "id" | "kind" | "destination" | "to"> {
  const record = peekRecord(body);
  if (record) {
    const { job, destination } = record;
    return { ...job, destination, to: labelOf(destination) };
  }
  const parsed = parseBody(body, { messageId, rules: [] });
  const { id, kind } = parsed.is === "job" ? parsed.job : { id: messageId, kind: null };
  return { id, kind, destination: null, to: null };
}

function listOf(text: string | null): string[] {
  const value = parseOr(text, text === null ? [] : [text]);
  return Array.isArray(value) ? value.map(String) : [String(value)];
}

function parseOr(text: string | null, otherwise: unknown): unknown {
  try {
    return text === null ? otherwise : JSON.parse(text);
  } catch {
    return otherwise;
  }
}
