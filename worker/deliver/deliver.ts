// Where results go. One function a kind of destination; this file only chooses and says what all of them must do.

import { createHash } from "node:crypto";
import type { Destination, Job } from "../job/envelope.ts";
import type { Result } from "../job/result.ts";
import { type Destinations, destinationFor } from "../outbound/destinations.ts";

export type Delivery = {
  job: Job;
  /** Already cut to what a delivery carries. */
  result: Result;
  /** `todo.match` needs it to form its REST call. */
  input: unknown;
  destination: Destination;
  /** Try it even where the circuit is open or quiet was asked for: there will be no other try. */
  insist?: boolean;
  /** Asked when its turn has come, before anything goes out: whether it is still ours to send. */
  isOurs?(): Promise<boolean>;
  signal?: AbortSignal;
};

/**
 * Hands one result to one destination. Resolves when the destination has it. Throws `delivery_failed` when trying
 * again may help (`detail.retryAfterMs` when the destination said how long, `detail.heldBack` when nothing was sent),
 * `delivery_rejected`, `address_refused` or `no_request` when it cannot, and `lease_lost` when it is not ours any more.
 */
export type Deliver = (delivery: Delivery) => Promise<void>;

/** A destination's stable name, for idempotency keys and the delivery record. Not for logs: an address may hold a token. */
export function nameOf(destination: Destination): string {
  const [kind, address] = Object.entries(destination)[0]!;
  return `${kind}:${address}`;
}

/** A destination for people and logs: an HTTP one by its origin only. */
export function labelOf(destination: Destination): string {
  const [kind, address] = Object.entries(destination)[0]!;
  return `${kind}:${kind === "callback" || kind === "rest" ? new URL(address).origin : address}`;
}

// The name of one delivery: the same in every try, another for another destination. Receivers drop what they have seen by it.
/**
 * Made of letters, digits, `-` and `_`, at most 117 long: what SQS, SNS, HTTP headers and Standard Webhooks (which joins
 * it to the body with a full stop) all take. `event` tells deliveries apart that are news to the same destination.
 */
export function deliveryId(jobId: string, destination: Destination, event = ""): string {
  const hash = createHash("sha256")
    .update([jobId, nameOf(destination), event].join("\n"))
    .digest("hex");
  return `${jobId.replaceAll(/[^A-Za-z0-9_-]/g, "-").slice(0, 100)}_${hash.slice(0, 16)}`;
}

/** A destination's name where its address must not be read: in the keys of objects. */
export const destinationKey = (destination: Destination): string =>
  createHash("sha256").update(nameOf(destination)).digest("hex").slice(0, 16);

// Which receiver a destination belongs to: what is paced, and what a circuit opens for. Pure.
/** The matching entry of the destinations file, else the origin, topic or queue. */
export function receiverOf(destinations: Destinations, destination: Destination): string {
  const [[kind, address]] = Object.entries(destination) as [[string, string]];
  const own = kind === "callback" || kind === "rest" ? new URL(address).origin : address;
  return destinationFor(destinations, address)?.match ?? own;
}

// What a result says about itself outside its body, so that subscribers can filter without reading it. Pure.
const LONGEST_ANSWER = 64;

/** `kind` and `status`; with an output that has a short `answer` (yes/no questions do) that as well. */
export function attributesOf({ kind, status, output }: Result): Record<string, string> {
  const answer = (output as { answer?: unknown } | null | undefined)?.answer;
  return { kind, status, ...(isWord(answer) && { answer }) };
}

// One word: the longer answers of other kinds are content, which nobody can filter for.
const isWord = (value: unknown): value is string =>
  typeof value === "string" && value.length <= LONGEST_ANSWER && /^[\p{L}\p{N}_.-]+$/u.test(value);
