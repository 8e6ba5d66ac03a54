// What happens after a run: pure, from an outcome to a plan. Carrying it out belongs to run-job.ts.

import { backoffMs } from "../async/backoff.ts";
import { KamadoError } from "../errors.ts";
import type { Job } from "../job/envelope.ts";
import type { Outcome } from "../job/outcome.ts";
import { failed, type Result } from "../job/result.ts";

/** In this order: store, deliver, dead-letter, and the message last. */
export type Plan = {
  /** Put at results/<id>.json before anything else. */
  store: Result | null;
  deliver: { job: Job; result: Result } | null;
  /** Why a copy of the message goes to the dead-letter queue. */
  deadLetter: KamadoError | null;
  message: Ending;
};
export type Ending = "delete" | "leave" | { releaseAfterSeconds: number };

export type SettleOptions = {
  receiveCount: number;
  maxAttempts: number;
  /** The first wait, when it is another than the usual one. */
  retryMs?: number | undefined;
  random?: () => number;
};

const RETRY_MS = 5_000;

type Interruption = Extract<Outcome, { is: "interrupted" }>["why"];

/**
 * A second message of a running job comes back when the other run may have stored the result; ever more rarely, because
 * each receive brings it nearer to the dead letters.
 */
const alreadyRunning = (retryMs = RETRY_MS) => ({ baseMs: 2 * retryMs, maxMs: 900_000 });

function interrupted(why: Interruption, { receiveCount, retryMs, random }: SettleOptions): Ending {
  if (why === "lease_lost") return "leave";
  if (why === "stopping") return { releaseAfterSeconds: 0 };
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
        deadLetter: outcome.putAside ? outcome.error : null,
        message: "delete",
      };
    case "retry":
      return mayGoOn(outcome, options) ? again(outcome, options) : giveUp(outcome, options);
    case "ignored":
      return { ...nothing, message: "delete" };
    case "interrupted":
      return { ...nothing, message: interrupted(outcome.why, options) };
  }
}

/** A bucket that is away is no fault of the job's, and its failure could not even be stored: the queue's own limit is left to end it. */
function mayGoOn(
  { error, about }: Extract<Outcome, { is: "retry" }>,
  { receiveCount, maxAttempts }: SettleOptions,
): boolean {
  return receiveCount < maxAttempts || (!about && error.code === "storage_unavailable");
}

/** Retries of a job: 5 s, 10 s, 20 s, … up to 15 minutes, or what the other side asked for. */
export const retryBackoff = (baseMs = RETRY_MS) => ({ baseMs, maxMs: 900_000 });

function again(
  { afterMs }: Extract<Outcome, { is: "retry" }>,
  { receiveCount, retryMs, random }: SettleOptions,
): Plan {
  const backoff = { ...retryBackoff(retryMs), ...(random && { random }) };
  const ms = Math.max(afterMs ?? 0, backoffMs(receiveCount, backoff));
  return { ...nothing, message: { releaseAfterSeconds: Math.ceil(Math.min(ms, 43_000_000) / 1_000) } };
}

function giveUp({ error, about }: Extract<Outcome, { is: "retry" }>, { receiveCount }: SettleOptions): Plan {
  const last = new KamadoError(
    "attempts_exhausted",
    `${receiveCount} attempts; the last: ${error.code}: ${error.message}`,
    { cause: error },
  );
  if (!about) return { ...nothing, deadLetter: last, message: "delete" };
  const result = failed(about.job.id, about.job.kind, last, about.receipt);
  return { store: result, deliver: { job: about.job, result }, deadLetter: last, message: "delete" };
}
