// The whole life of a job, as verbs, in order. Every station is a file of its own.
import { KamadoError, toKamadoError } from "../errors.ts";
import type { Job } from "../job/envelope.ts";
import type { Outcome } from "../job/outcome.ts";
import { failed, type Result } from "../job/result.ts";
import type { Acks } from "./acks.ts";
import { backoffMs } from "./backoff.ts";
import type { Claim, Claims } from "./claims.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { DeliverAll } from "./deliver-all.ts";
import type { Journal } from "./journal.ts";
import type { Lease } from "./lease.ts";
import { perform, type Workshop } from "./perform.ts";
import type { ReadJob } from "./read-job.ts";
import type { Results } from "./results.ts";
import { type Ending, type Plan, RETRY_BACKOFF, settle } from "./settle.ts";

export type House = {
  readJob: ReadJob;
  results: Results;
  workshop: Workshop;
  deliverAll: DeliverAll;
  deadLetters: DeadLetters;
  /** Sends jobs of their own messages: one a record of an event that held several. */
  enqueue(jobs: readonly Job[]): Promise<void>;
  acks: Acks;
  claims: Claims;
  journal: Journal;
  maxAttempts: number;
};

/** Runs one message to its end. Never throws. Resolves with false when the message went back and its group must wait for it. */
export async function runJob(lease: Lease, cut: AbortSignal, house: House): Promise<boolean> {
  const { message } = lease;
  const claim = house.claims.open();
  const outcome = await attempt(lease, cut, claim, house);
  const plan = settle(outcome, { receiveCount: message.receiveCount, maxAttempts: house.maxAttempts });
  const ending = await carryOut(plan, lease, cut, house);
  claim.close();
  finish(lease, ending, house);
  tellEnd(outcome, ending, lease, house);
  return ending === "delete";
}

/** parse -> already done? -> inputs -> handler -> validate */
async function attempt(lease: Lease, cut: AbortSignal, claim: Claim, house: House): Promise<Outcome> {
  const signal = AbortSignal.any([lease.signal, cut]);
  try {
    if (!(await lease.confirm())) return { is: "interrupted", why: "lease_lost" };
    const read = await house.readJob(lease.message, signal);
    tellReceived(read, lease, house);
    if (read.is === "malformed") return { is: "rejected", error: read.error };
    if (read.is === "nothing") return { is: "ignored", reason: read.reason };
    if (read.is === "several") {
      await house.enqueue(read.jobs);
      return { is: "ignored", reason: `split into ${read.jobs.length} jobs` };
    }
    if (!claim.take(read.job.id)) return { is: "interrupted", why: "already_running" };
    return (
      (await alreadyDone(read.job, lease, house)) ?? (await perform(read.job, lease, cut, house.workshop))
    );
  } catch (thrown) {
    if (signal.aborted) return { is: "interrupted", why: lease.signal.aborted ? "lease_lost" : "stopping" };
    return { is: "retry", error: toKamadoError(thrown, "handler_failed") };
  }
}

/** A job that was done before answers with its stored result, never with a second run. */
async function alreadyDone(job: Job, lease: Lease, { results }: House): Promise<Outcome | null> {
  const stored = await results.find(job.id, lease.signal);
  if (!stored) return null;
  if (stored.kind === job.kind) return { is: "succeeded", job, result: stored, stored: true };
  const error = new KamadoError(
    "duplicate_id",
    `id: "${job.id}" already names a job of the kind ${stored.kind}.`,
  );
  return {
    is: "rejected",
    error,
    about: { job, result: failed(job.id, job.kind, error, stored.receipt) },
    keep: false,
  };
}

/** store -> deliver -> dead-letter. Before each effect the lease is confirmed: what another worker holds is not ours to finish. */
async function carryOut(plan: Plan, lease: Lease, cut: AbortSignal, house: House): Promise<Ending> {
  try {
    if (plan.store && (await lease.confirm())) await store(plan.store, house);
    if (plan.deliver && (await lease.confirm())) await house.deliverAll(plan.deliver, lease.message, cut);
    if (plan.deadLetter && (await lease.confirm()))
      await house.deadLetters.message(lease.message, plan.deadLetter);
    return (await lease.confirm()) ? plan.message : "leave";
  } catch (thrown) {
    if (lease.signal.aborted) return "leave";
    if (cut.aborted) return { releaseAfterSeconds: 0 };
    // The result is stored, or will be worked out again: either way the message comes back later.
    const error = toKamadoError(thrown, "delivery_failed");
    house.journal.tell(
      "delivery_failed",
      { job: plan.deliver?.job.id ?? lease.message.id, error: error.code },
      error.message,
    );
    const asked = error.detail?.retryAfterMs;
    const ms = Math.max(
      typeof asked === "number" ? asked : 0,
      backoffMs(lease.message.receiveCount, RETRY_BACKOFF),
    );
    return { releaseAfterSeconds: Math.ceil(ms / 1_000) };
  }
}

async function store(result: Result, { results, journal }: House): Promise<void> {
  await results.store(result);
  journal.tell(
    "stored",
    { job: result.id, kind: result.kind, status: result.status },
    `result stored at ${results.address(result.id)}`,
  );
}

/** The message goes last. The call is gathered with others; the slot is free meanwhile. */
function finish(lease: Lease, ending: Ending, { acks }: House): void {
  if (ending === "delete") void acks.delete(lease);
  else if (ending === "leave") lease.lose("left to the queue");
  else void acks.release(lease, ending.releaseAfterSeconds);
}

function tellReceived(read: Awaited<ReturnType<ReadJob>>, { message }: Lease, { journal }: House): void {
  const about = read.is === "job" ? { job: read.job.id, kind: read.job.kind } : { job: message.id };
  journal.tell("received", { ...about, message: message.id, attempt: message.receiveCount }, "received");
}

function tellEnd(outcome: Outcome, ending: Ending, lease: Lease, { journal }: House): void {
  const job = "job" in outcome ? outcome.job : "about" in outcome ? outcome.about?.job : undefined;
  const result =
    outcome.is === "succeeded" || outcome.is === "expired"
      ? outcome.result
      : outcome.is === "rejected"
        ? outcome.about?.result
        : undefined;
  const code = outcome.is === "rejected" || outcome.is === "retry" ? outcome.error.code : undefined;
  const message =
    outcome.is === "rejected" || outcome.is === "retry"
      ? `${outcome.is}: ${outcome.error.message}`
      : outcome.is;
  journal.tell(
    "ended",
    {
      job: job?.id ?? lease.message.id,
      outcome: outcome.is,
      ending: ending === "delete" || ending === "leave" ? ending : `back in ${ending.releaseAfterSeconds} s`,
      ...(job && { kind: job.kind }),
      ...(code && { error: code }),
      ...(result && { receipt: result.receipt }),
    },
    message,
  );
}
