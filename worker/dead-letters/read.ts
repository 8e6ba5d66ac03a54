// A dead letter as a person reads it: what it is, why and when it died, what was tried. Pure.
import { labelOf } from "../deliver/deliver.ts";
import { ERRORS, type ErrorCode } from "../errors.ts";
import { type Destination, JobId, parseBody } from "../job/envelope.ts";
import { BODY_LIMIT, peekRecord } from "../outbox/delivery-record.ts";
import { ID_ATTRIBUTE } from "../queue/queue.ts";
import type { DeadMessage } from "./dead-letter-queue.ts";

export type DeadLetter = {
  queue: "jobs" | "deliveries";
  /** The job's id; the message's if the body has none. */
  id: string;
  messageId: string;
  /** The address or ARN of the queue it came from, and its group there; null when they are unknown. */
  from: string | null;
  group: string | null;
  kind: string | null;
  /** Why. `received_too_often` when the queue itself moved it, which gives no other reason. */
  code: string;
  reason: string;
  hint: string | null;
  errors: string[];
  destination: Destination | null;
  /** The destination's label, without what may be a token. */
  to: string | null;
  firstAt: string | null;
  lastAt: string | null;
  receives: number | null;
  worker: string | null;
  receipt: unknown;
  message: DeadMessage;
};

/** `found` is the queue in which the message is; `outbox` the address of the queue that deliveries are in before they die. */
export function readDeadLetter(
  message: DeadMessage,
  found: DeadLetter["queue"],
  outbox: string | undefined,
): DeadLetter {
  const attribute = (name: string): string | null => message.attributes[`kamado-${name}`] ?? null;
  const code = attribute("code") ?? "received_too_often";
  const receives = attribute("receives");
  // What SQS itself moved still has the attributes that its sender gave it.
  const [from = "", group] = (message.movedFrom ?? attribute("queue") ?? "").split("#");
  const queue = found === "deliveries" || isDelivery(message.body, from, outbox) ? "deliveries" : "jobs";
  return {
    ...(queue === "deliveries" ? ofDelivery(message) : ofJob(message)),
    queue,
    messageId: message.id,
    from: from || null,
    group: group === undefined ? message.group : decoded(group),
    code,
    reason:
      attribute("reason") ?? "The queue moved it here: it was received too often without being deleted.",
    hint: ERRORS[code as ErrorCode]?.hint ?? null,
    errors: listOf(attribute("errors")),
    firstAt:
      attribute("first-at") ?? (message.sentAt === null ? null : new Date(message.sentAt).toISOString()),
    lastAt: attribute("last-at"),
    receives: receives === null ? null : Number(receives),
    worker: attribute("worker"),
    receipt: parseOr(attribute("receipt"), null),
    message,
  };
}

/** The id that the message had before it became a dead letter. If SQS itself moved it, it still has that id. */
export const originalId = ({ id, attributes }: Pick<DeadMessage, "id" | "attributes">): string =>
  attributes[ID_ATTRIBUTE] ?? id;

/** The queue of an address or ARN. Hosts differ from machine to machine; account and name do not. */
export function queueOf<Q extends { url: string }>(from: string | null, queues: readonly Q[]): Q | undefined {
  if (from === null) return undefined;
  const tail = (name: string) => name.split(/[/:]/).slice(-2).join("/");
  return queues.find(({ url }) => url === from) ?? queues.find(({ url }) => tail(url) === tail(from));
}

/** Whether `asked` names this destination: by its label, its host, or the beginning of its address. */
export function isMeant(asked: string, to: string, address?: string): boolean {
  const own = to.slice(to.indexOf(":") + 1);
  const { host, origin } = URL.canParse(own) ? new URL(own) : { host: own, origin: own };
  return [to, own, host, origin].includes(asked) || (address?.startsWith(asked) ?? false);
}

/**
 * Without a queue of their own, dead deliveries are in that of the jobs. There a sender may have written what looks like one: sent
 * back as a delivery, it would go to any address, with our signature. A worker says of a job's message from which queue it came. It
 * leaves that out only beside a body that is longer than any delivery.
 */
const isDelivery = (body: string, from: string, outbox: string | undefined): boolean =>
  (from === "" || (outbox !== undefined && queueOf(from, [{ url: outbox }]) !== undefined)) &&
  Buffer.byteLength(body) <= BODY_LIMIT &&
  peekRecord(body) !== null;

type Content = Pick<DeadLetter, "id" | "kind" | "destination" | "to">;

function ofDelivery(message: DeadMessage): Content {
  const record = peekRecord(message.body);
  if (!record) return { id: originalId(message), kind: null, destination: null, to: null };
  const { job, destination } = record;
  return { ...job, destination, to: labelOf(destination) };
}

function ofJob(message: DeadMessage): Content {
  const messageId = originalId(message);
  const parsed = parseBody(message.body, { messageId, rules: [] });
  const { id, kind } =
    parsed.is === "job"
      ? parsed.job
      : { id: messageId, kind: null, ...(parsed.is === "malformed" && namesIn(message.body)) };
  return { id, kind, destination: null, to: null };
}

/**
 * The id and kind that a sender wrote into a body that is no job, by which a person looks for it. They are only shown: what belongs to
 * a job of that id is not this message's.
 */
function namesIn(body: string): { id?: string; kind?: string } {
  const text = (name: string) =>
    new RegExp(`"${name}"\\s*:\\s*"([^"\\\\]{1,128})"`).exec(body.slice(0, LOOKED_AT))?.[1];
  const [id, kind] = [JobId.safeParse(text("id")).data, text("kind")];
  return { ...(id !== undefined && { id }), ...(kind !== undefined && { kind }) };
}

/** Characters. A body may have a megabyte, and what names a job stands at its beginning. */
const LOOKED_AT = 10_000;

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
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
