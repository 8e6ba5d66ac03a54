// Decides what follows from the outcome of a run: what to store, deliver and dead-letter, and whether and when the message comes
// back. The limit of attempts and the waits between them are here. Pure: execute-handler.ts makes the outcome, run-job.ts carries
// out the plan.
import { backoffMs } from "../async/backoff.ts";
import type { Ending } from "../consumer/acks.ts";
import { KamadoError } from "../errors.ts";
import type { Job } from "../job/envelope.ts";
import type { Outcome } from "../job/outcome.ts";
import { failed, type Result } from "../job/result.ts";

/** Carried out in this order: store, deliver, dead-letter, and the message last. */
export type Plan = {
  /** Stored at results/<id>.json before anything else. */
  store: Result | null;
  deliver: { job: Job; result: Result } | null;
  /** Why a copy of the message goes to the dead-letter queue. */
  deadLetter: KamadoError | null;
  message: Ending;
};

export type SettleOptions = {
  /** Of the message. An attempt is a started run; the receipt counts those. */
  receiveCount: number;
  maxAttempts: number;
  /** The first wait [5,000]. */
  retryMs?: number | undefined;
  random?: () => number;
};

const RETRY_MS = 5_000;

type Interruption = Extract<Outcome, { is: "interrupted" }>;

/**
 * A second message of a running job comes back when the other run may have stored the result. The waits grow, because each
 * receive brings the message nearer to the dead-letter queue.
 */
const alreadyRunning = (retryMs = RETRY_MS) => ({ baseMs: 2 * retryMs, maxMs: 900_000 });

function interrupted(
  { why, afterMs }: Interruption,
  { receiveCount, retryMs, random }: SettleOptions,
): Ending {
  if (why === "lease_lost") return "leave";
  if (why === "stopping") return { releaseAfterSeconds: 0 };
  if (afterMs !== undefined) return { releaseAfterSeconds: Math.ceil(afterMs / 1_000) };
  const ms = backoffMs(receiveCount, { ...alreadyRunning(retryMs), ...(random && { random }) });
  return { releaseAfterSeconds: Math.ceil(ms / 1_000) };
}

const nothing = { store: null, deliver: null, deadLetter: null };

export function settle(outcome: Outcome, options: SettleOptions): Plan {
  switch (outcome.is) {
    case "succeeded":
    case "expired":
    case "canceled":
      return {
        ...nothing,
        store: outcome.stored ? null : outcome.result,
        deliver: outcome,
        message: "delete",
      };
    case "rejected":
      if (!outcome.about) return { ...nothing, deadLetter: outcome.error, message: "delete" };
      return {
        ...nothing,
        store: outcome.keep ? outcome.about.result : null,
        deliver: outcome.about,
        deadLetter: outcome.deadLetter ? outcome.error : null,
        message: "delete",
      };
    case "retry":
      return mayTryAgain(outcome, options) ? again(outcome, options) : giveUp(outcome, options);
    case "ignored":
      return { ...nothing, message: "delete" };
    case "interrupted":
      return { ...nothing, message: interrupted(outcome, options) };
  }
}

type Retry = Extract<Outcome, { is: "retry" }>;

/** Runs that were started. A message that never led to a run has no more to count than its receives. */
const triesOf = ({ about }: Retry, { receiveCount }: SettleOptions) =>
  about?.receipt.attempts ?? receiveCount;

/**
 * Whether another attempt is left. Before the run, a bucket or a queue that does not answer is not the job's fault, and the job's
 * failure could not even be stored: then only the queue's own maximum of receives ends it.
 */
function mayTryAgain(retry: Retry, options: SettleOptions): boolean {
  const { about, error } = retry;
  const isOutage = error.code === "storage_unavailable" || error.code === "queue_unavailable";
  return triesOf(retry, options) < options.maxAttempts || (!about && isOutage);
}

/** The waits between the attempts of a job: 5 s, 10 s, 20 s, … up to 15 minutes. */
export const retryBackoff = (baseMs = RETRY_MS) => ({ baseMs, maxMs: 900_000 });

function again(retry: Retry, options: SettleOptions): Plan {
  const { retryMs, random } = options;
  const backoff = { ...retryBackoff(retryMs), ...(random && { random }) };
  const ms = Math.max(retry.afterMs ?? 0, backoffMs(triesOf(retry, options), backoff));
  return { ...nothing, message: { releaseAfterSeconds: Math.ceil(Math.min(ms, 43_000_000) / 1_000) } };
}

function giveUp(retry: Retry, options: SettleOptions): Plan {
  const { error, about } = retry;
  const tries = triesOf(retry, options);
  const what = about ? `${tries} attempts` : `received ${tries} times and never started`;
  const why = `${what}; the last error: ${error.code}: ${error.message}`;
  const last = new KamadoError("attempts_exhausted", why, { cause: error });
  if (!about) return { ...nothing, deadLetter: last, message: "delete" };
  const result = failed(about.job.id, about.job.kind, last, about.receipt);
  return { store: result, deliver: { job: about.job, result }, deadLetter: last, message: "delete" };
}
