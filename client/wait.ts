// Waits for the result of a job: looks into the bucket again and again, and says at once what no waiting changes.
import { setTimeout as sleep } from "node:timers/promises";
import { backoffMs } from "../worker/async/backoff.ts";
import { KamadoError, toKamadoError } from "../worker/errors.ts";
import { belongsTo } from "../worker/job/job-hash.ts";
import { resultKey, type Result as Stored } from "../worker/job/result.ts";
import { addressOf, type Bucket } from "../worker/storage/bucket.ts";
import { bucketHealthOf } from "../worker/storage/health.ts";
import { createResults, type Results } from "../worker/storage/results.ts";
import type { Enqueued } from "./contract.ts";
import { asSender, wrongSetting } from "./sender-errors.ts";

export type WaitOptions = {
  /** How long to wait. [300] */
  timeoutSeconds?: number | undefined;
  /** Ends the waiting; the job goes on. */
  signal?: AbortSignal | undefined;
  /** Called before each further look at the bucket. */
  onPoll?: (() => unknown) | undefined;
};

const WAIT_SECONDS = 300;
const POLL = { baseMs: 250, maxMs: 2_000 };
const WAIT = "s3:GetObject on results/* and s3:ListBucket";

/** What `Client.wait` promises. */
export async function waitFor(
  job: string | Enqueued,
  id: string,
  bucket: Bucket,
  { timeoutSeconds = WAIT_SECONDS, signal, onPoll }: WaitOptions,
): Promise<unknown> {
  const results = createResults(bucket);
  const end = performance.now() + timeoutSeconds * 1_000;
  for (let round = 1; ; round++) {
    signal?.throwIfAborted();
    const found = await lookFor(id, results, bucket, signal);
    if (found && !(found instanceof KamadoError)) return ownResult(job, found);
    if (round === 1) await checkRights(id, bucket, found);
    const left = end - performance.now();
    if (left <= 0) throw found ?? notReady(id, bucket, timeoutSeconds);
    await onPoll?.();
    const ms = Math.min(left, backoffMs(round, POLL));
    await sleep(ms, undefined, signal && { signal }).catch(() => signal?.throwIfAborted());
  }
}

/** The stored result; null when there is none yet, and an error after which it is worth to look again. Throws every other one. */
export const lookFor = (
  id: string,
  results: Results,
  bucket: Bucket,
  signal?: AbortSignal,
): Promise<Stored | KamadoError | null> =>
  results.find(id, signal).catch((thrown) => passing(thrown, id, bucket, signal));

/** The result without what only workers need. */
export function ownResult(job: string | Enqueued, { jobHash, ...result }: Stored): unknown {
  if (typeof job === "string" || belongsTo(job, { jobHash, kind: result.kind })) return result;
  throw new KamadoError(
    "duplicate_id",
    `The id "${job.id}" belongs to another job, of another kind or input.`,
  );
}

/** These do not pass by themselves. */
const LASTING = ["missing_bucket", "no_credentials", "credentials", "not_aws"];

/** An error after which it is worth to look again. Throws every other one. */
function passing(thrown: unknown, id: string, bucket: Bucket, signal?: AbortSignal): KamadoError {
  signal?.throwIfAborted();
  const error = toKamadoError(thrown, "storage_unavailable");
  // S3 says so of an object that is not there, too, where the sender may not list the bucket.
  if (error.cause instanceof KamadoError && error.cause.code === "object_forbidden")
    return forbidden(id, bucket, error);
  if (LASTING.includes(bucketHealthOf(error)) || wrongSetting(error)) throw asSender(error, WAIT);
  return error;
}

const forbidden = (id: string, bucket: Bucket, cause: unknown) =>
  new KamadoError(
    "object_forbidden",
    `${addressOf(bucket, resultKey(id))}: this sender may not read it, or it is not there yet.`,
    {
      cause,
      hint: "Grant the sender s3:GetObject on results/* and s3:ListBucket; or receive the result where `deliver` sends it.",
    },
  );

/** Throws what no waiting for results changes: the bucket is not there, or this sender may not list it. */
export async function checkBucket(bucket: Bucket): Promise<void> {
  const error = await bucket.list(resultKey("-")).then(
    () => null,
    (thrown) => passing(thrown, "-", bucket),
  );
  if (error?.code === "object_forbidden") throw asSender(error, WAIT);
}

/** Says at once what waiting would not change: there is no such bucket, or what may be listed may not be read. */
async function checkRights(id: string, bucket: Bucket, found: KamadoError | null): Promise<void> {
  const listed = await bucket.list(resultKey(id)).then(
    () => null,
    (thrown) => toKamadoError(thrown, "storage_unavailable"),
  );
  if (listed && bucketHealthOf(listed) === "missing_bucket") throw asSender(listed, WAIT);
  if (!listed && found?.code === "object_forbidden") throw found;
}

export const notReady = (id: string, bucket: Bucket, seconds: number) =>
  new KamadoError(
    "result_not_ready",
    `There is no result at ${addressOf(bucket, resultKey(id))} after ${seconds} seconds.`,
  );
