// A dead letter as a person reads it: what it is, why and when it died, what was tried. Pure.
import { labelOf } from "../deliver/deliver.ts";
import { ERRORS, type ErrorCode } from "../errors.ts";
import { type Destination, parseBody } from "../job/envelope.ts";
import type { Letter } from "../queue/letters.ts";
import { peekParcel } from "./parcel.ts";

export type DeadLetter = {
  queue: "jobs" | "deliveries";
  /** The job's id; the message's where the body says none. */
  id: string;
  messageId: string;
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

export function readLetter(letter: Letter, found: "jobs" | "deliveries"): DeadLetter {
  const said = (name: string): string | null => letter.attributes[`kamado-${name}`] ?? null;
  const code = said("code") ?? "received_too_often";
  const parcel = peekParcel(letter.body);
  return {
    ...whatItIs(letter, said("message") ?? letter.id),
    queue: parcel ? "deliveries" : found,
    messageId: letter.id,
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

/** The body as it goes back: with the id it had from the message it came in, which the new one cannot give it. */
export function jobBody({ letter }: Pick<DeadLetter, "letter">): string {
  const original = letter.attributes["kamado-message"];
  const value = parseOr(letter.body, null);
  const isBare = isObject(value) && value.id === undefined && typeof value.kind === "string";
  return isBare && original !== undefined ? JSON.stringify({ id: original, ...value }) : letter.body;
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
  const parcel = peekParcel(body);
  if (parcel) {
    const { job, destination } = parcel;
    return { ...job, destination, to: labelOf(destination) };
  }
  const parsed = parseBody(body, { messageId, rules: [] });
  const { id, kind } = parsed.is === "job" ? parsed.job : { id: messageId, kind: null };
  return { id, kind, destination: null, to: null };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

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
