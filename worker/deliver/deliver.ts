// Where results go. One function a kind of destination; this file only chooses and says what all of them must do.
import type { Destination, Job } from "../job/envelope.ts";
import type { Result } from "../job/result.ts";

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
 * again may help (`detail.retryAfterMs` when the destination said how long, `detail.untried` when it was left alone)
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
