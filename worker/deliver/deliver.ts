// The port of a delivery, and a destination's names: for people, for keys, and for its receiver. Each kind of destination has
// a file of its own; by-kind.ts chooses. When a failed delivery is tried again is the outbox's decision.
import { createHash } from "node:crypto";
import type { Destination, Job } from "../job/envelope.ts";
import type { Result } from "../job/result.ts";
import { type TraceFields, traceFields } from "../job/trace-context.ts";
import { type Destinations, destinationFor } from "../outbound/destinations.ts";
import { printable } from "../printable.ts";

export type Delivery = {
  job: Job;
  /** Already cut to what a delivery carries. */
  result: Result;
  /** `todo.match` needs it to form its REST call. */
  input: unknown;
  destination: Destination;
  /** The receiver gets less time to answer, because a job's message waits for the end of the try. */
  isFirstTry?: boolean;
  /** Try even if the circuit is open or the receiver asked for a pause: there will be no other try. */
  insist?: boolean;
  /** Whether the delivery still belongs to this worker. Asked directly before something is sent. */
  isOurs?(): Promise<boolean>;
  signal?: AbortSignal;
};

/**
 * Sends one result to one destination. Resolves when the destination has it, or when there is nothing to send. Throws `delivery_failed` when another try may
 * help (`detail.retryAfterMs` when the destination said how long to wait, `detail.heldBack` when nothing was sent),
 * `delivery_rejected`, `address_refused` or `no_request` when it cannot, and `lease_lost` when another worker has the job.
 */
export type Deliver = (delivery: Delivery) => Promise<"sent" | "nothing to send">;

const partsOf = (destination: Destination) => Object.entries(destination)[0] as [string, string];
const isHttp = (kind: string) => kind === "callback" || kind === "rest";

/** A destination's stable name, for idempotency keys. Never log it: the address may contain a token. */
export const nameOf = (destination: Destination): string => partsOf(destination).join(":");

const LONGEST_LABEL = 200;

/**
 * A destination's name for people and logs: an address without user, query and fragment. A part of its path that looks like a
 * token is left out.
 */
export function labelOf(destination: Destination): string {
  const [kind, address] = partsOf(destination);
  if (kind === "sns" || !URL.canParse(address)) return `${kind}:${address}`.slice(0, LONGEST_LABEL);
  const { origin, pathname } = new URL(address);
  const path = pathname.split("/").map((part) => (isLikeToken(part) ? "…" : part));
  return `${kind}:${origin}${path.join("/").replace(/^\/$/, "")}`.slice(0, LONGEST_LABEL);
}

/** Long without a break, or less long with letters and digits mixed. Words of a path are neither. */
const isLikeToken = (part: string): boolean =>
  part
    .split(/[-_.~]|%[0-9A-F]{2}/i)
    .some((word) => word.length >= 20 || (word.length >= 9 && /\d/.test(word) && /[a-z]/i.test(word)));

/** The origin of an HTTP destination; null for a topic or a queue. */
export function originOf(destination: Destination): string | null {
  const [kind, address] = partsOf(destination);
  return isHttp(kind) ? new URL(address).origin : null;
}

const hashOf = (text: string) => createHash("sha256").update(text).digest("hex").slice(0, 16);

/** A destination's name in object keys, from which its address cannot be read. */
export const destinationKey = (destination: Destination): string => keyOfName(nameOf(destination));
export const keyOfName = (name: string): string => hashOf(name);

/**
 * The key of one delivery, the same in every try. A receiver that remembers it acts once. `event` separates deliveries to one
 * destination that each are news. It has at most 117 letters, digits, `-` and `_`: SQS, SNS, HTTP headers and Standard
 * Webhooks (which joins it to the body with a full stop) all take that.
 */
export function deliveryId(jobId: string, destination: Destination, event = ""): string {
  const job = jobId.replaceAll(/[^A-Za-z0-9_-]/g, "-").slice(0, 100);
  return `${job}_${hashOf([jobId, nameOf(destination), event].join("\n"))}`;
}

/** Whom a destination belongs to, for its pace: its entry in the destinations file, else its origin, topic or queue. */
export function receiverOf(destinations: Destinations, destination: Destination): string {
  const [, address] = partsOf(destination);
  return destinationFor(destinations, address)?.match ?? originOf(destination) ?? address;
}

/** The group of a job's results in a FIFO queue or topic, whose names are at most 128 ASCII characters without spaces. */
export const groupOf = (kind: string): string => (/^[!-~]{1,128}$/.test(kind) ? kind : hashOf(kind));

const LONGEST_ANSWER = 64;

/**
 * Message attributes: those by which subscribers filter, `kind`, `status` and the output's `answer` if it has a short one; and the trace
 * in which the delivery goes on.
 */
export function attributesOf(
  { kind, status, output }: Result,
  trace: TraceFields = {},
): Record<string, string> {
  const answer = (output as { answer?: unknown } | null | undefined)?.answer;
  // A queue or topic refuses a message with a control character in an attribute.
  return { kind: printable(kind), status, ...(isWord(answer) && { answer }), ...traceFields(trace) };
}

// One word. Longer answers are content, for which nobody can filter.
const isWord = (value: unknown): value is string =>
  typeof value === "string" && value.length <= LONGEST_ANSWER && /^[\p{L}\p{N}_.-]+$/u.test(value);
