// A queue's health as people see it, and what to do about each failure.
import { DISK_FULL_HINT, NO_CREDENTIALS_HINT, NOT_AWS_HINT } from "../aws/errors.ts";
import { grant } from "../aws/rights.ts";
import type { AwsFailure, KamadoError } from "../errors.ts";

export type QueueHealth = "ok" | AwsFailure;
export type Hints = Record<AwsFailure, string>;

export const QUEUE_HINTS = {
  no_credentials: NO_CREDENTIALS_HINT,
  credentials:
    "Check the AWS credentials (AWS_ACCESS_KEY_ID or AWS_PROFILE) and that they may use the queue.",
  missing_queue: "Check KAMADO_QUEUE_URL and AWS_REGION, or create the queue.",
  network: "Check the network and AWS_ENDPOINT_URL; the worker keeps trying.",
  throttled: "AWS limits the number of calls; the worker keeps trying, more slowly.",
  disk_full: DISK_FULL_HINT,
  not_aws: NOT_AWS_HINT,
  unknown: "Check the network, the credentials and the queue's address.",
} as const satisfies Hints;

/** The same for the queue of the outbox. */
export const OUTBOX_HINTS = {
  ...QUEUE_HINTS,
  missing_queue:
    "Check KAMADO_DELIVERIES_QUEUE_URL, or create the queue; until then a delivery that fails keeps its job's message.",
} as const satisfies Hints;

/** The right that is missing, where AWS names it or it can be told from the call. */
export const hintFor = (health: AwsFailure, hints: Hints, cause: KamadoError | null): string =>
  health === "credentials" && cause?.detail?.missingRight ? grant(cause.detail.missingRight) : hints[health];

type Polled = { health: QueueHealth; cause: KamadoError | null };

export const shownOf = (url: string, { health, cause }: Polled, hints: Hints = QUEUE_HINTS) => ({
  url,
  health,
  ...(health !== "ok" && { hint: hintFor(health, hints, cause) }),
});
