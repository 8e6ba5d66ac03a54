// The bucket's health as people see it, and what to do about each failure. Asking for it is left to consumer/health-check.ts.
import { DISK_FULL_HINT, NO_CREDENTIALS_HINT, NOT_AWS_HINT, namesOf, statusOf } from "../aws/errors.ts";
import { grant, namedRight } from "../aws/rights.ts";
import { type AwsFailure, type KamadoError, toKamadoError } from "../errors.ts";
import type { Bucket } from "./bucket.ts";

export type BucketHealth = "ok" | "forbidden" | "missing_bucket" | Exclude<AwsFailure, "missing_queue">;

const HINTS = {
  no_credentials: NO_CREDENTIALS_HINT,
  credentials: "Check the AWS credentials (AWS_ACCESS_KEY_ID or AWS_PROFILE) and this machine's clock.",
  forbidden:
    "Grant the worker s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject on what is in it.",
  missing_bucket: "Check KAMADO_BUCKET and AWS_REGION, or create the bucket.",
  network: "Check the network and AWS_ENDPOINT_URL; the worker keeps trying.",
  throttled: "AWS limits the number of calls; the worker keeps trying, more slowly.",
  disk_full: DISK_FULL_HINT,
  not_aws: NOT_AWS_HINT,
  unknown: "Check the network, the credentials and the bucket.",
} as const satisfies Record<Exclude<BucketHealth, "ok">, string>;

/** No job has these keys, because an id begins with a letter or a digit. */
const RESULT = "results/.probe";
/** Not the key by which job-lock/locks.ts learns what the store can do. */
const LOCK = "running/.health";
const SMALL = { maxBytes: 1_000 };

/**
 * Null when the bucket answers. A list, because to read a missing object tells nothing of a missing bucket; and results and locks are
 * written and read, because a worker that may not do that would pull jobs and give them back until the queue gives them up.
 */
export async function probeBucket(bucket: Bucket): Promise<KamadoError | null> {
  try {
    await bucket.list(RESULT);
    await Promise.all([RESULT, LOCK].map((key) => probeObject(bucket, key)));
    // Whether locks can be removed does not decide: one that stays behind holds nothing up.
    await bucket.remove([LOCK]).catch(() => {});
    return null;
  } catch (thrown) {
    return toKamadoError(thrown, "storage_unavailable");
  }
}

async function probeObject(bucket: Bucket, key: string): Promise<void> {
  await bucket.put(key, "{}", { contentType: "application/json" });
  // Another worker that asks at the same moment may have removed it. Whoever may not read is told so.
  await bucket.get(key, SMALL).catch((thrown) => {
    if (toKamadoError(thrown, "storage_unavailable").code !== "object_not_found") throw thrown;
  });
}

export function bucketHealthOf(cause: KamadoError | null): BucketHealth {
  if (cause === null) return "ok";
  if (cause.code === "object_forbidden") return "forbidden";
  if (isMissing(cause)) return "missing_bucket";
  const failure = cause.detail?.awsFailure ?? "unknown";
  return failure === "missing_queue" ? "unknown" : failure;
}

const isMissing = ({ cause }: KamadoError) =>
  namesOf(cause).includes("NoSuchBucket") || statusOf(cause) === 404;

/** For the worker's page. */
export const shownBucket = ({ name }: Bucket, cause: KamadoError | null) => ({
  name,
  answers: cause === null,
  health: bucketHealthOf(cause),
  ...(cause && { hint: bucketHint(cause) }),
});

export const bucketHint = (cause: KamadoError): string => {
  const health = bucketHealthOf(cause);
  const right = health === "forbidden" ? namedRight(cause) : null;
  return right ? grant(right) : health === "ok" ? "" : HINTS[health];
};
