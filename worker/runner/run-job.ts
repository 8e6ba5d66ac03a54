// A job's whole life on one page. The consumer receives and leases a message and calls `runJob`:
//
//     parse -> claim -> execute -> settle -> store -> deliver -> dead-letter
//
// and the consumer carries out the ending that comes back: it deletes the message, gives it back, or leaves it to the queue.
import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import type { Ending } from "../consumer/acks.ts";
import type { Lease } from "../consumer/lease.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { Job } from "../job/envelope.ts";
import type { Outcome } from "../job/outcome.ts";
import { failed, type Result } from "../job/result.ts";
import { killsEngine, mustRunAlone, totalOf } from "../job-lock/engine-deaths.ts";
import { JobClaim, type JobClaims } from "../job-lock/job-claim.ts";
import type { JobLock } from "../job-lock/lock.ts";
import type { JobEvents } from "../logging/job-events.ts";
import type { DeliverAll } from "../outbox/deliver-result.ts";
import type { DeadLetters } from "../queue/dead-letter.ts";
import type { Results } from "../storage/results.ts";
import { executeHandler } from "./execute-handler.ts";
import type { HandlerDependencies } from "./handler-context.ts";
import type { Quarantine } from "./quarantine.ts";
import type { ReadMessage } from "./read-message.ts";
import { type Plan, retryBackoff, settle } from "./settle.ts";

/** What all runs of a worker share. */
export type Dependencies = {
  readMessage: ReadMessage;
  /** Sends jobs as messages of their own: one for each record of an event that holds several. */
  enqueue(jobs: readonly Job[], group: string | null): Promise<void>;
  claims: JobClaims;
  results: Results;
  quarantine: Quarantine;
  handlers: HandlerDependencies;
  deliverAll: DeliverAll;
  deadLetters: DeadLetters;
  jobEvents: JobEvents;
  maxAttempts: number;
  /** Before the second attempt [5,000]; later waits grow from it. */
  retryMs?: number;
  clock: Clock;
};

/** What the consumer gives to one run. */
export type Turn = {
  /** Fires when a stopping worker does not wait any longer. */
  cut: AbortSignal;
  /** Lets another job start. Called once the result is durable: receivers that are slow must not hold a slot. */
  freeSlot(): void;
};

/** One message being worked on. */
type Run = Dependencies & Turn & { lease: Lease; claim: JobClaim };

/** Works on one message and resolves with what becomes of it. Never throws. */
export async function runJob(lease: Lease, turn: Turn, dependencies: Dependencies): Promise<Ending> {
  const run: Run = { ...dependencies, ...turn, lease, claim: new JobClaim(dependencies.claims) };
  const outcome = withoutInput(await outcomeOf(run));
  const plan = settle(outcome, { ...dependencies, receiveCount: lease.message.receiveCount });
  const ending = await carryOut(plan, run);
  // Before the message goes back: whoever receives it next must not find the job taken.
  await run.claim.end(ending === "delete" ? "done" : "again");
  emitEnded(run, outcome, ending);
  return ending;
}

/**
 * A job whose result is on its way holds no slot, so there may be many of them, and an input may be long. Only a REST call is
 * formed from it.
 */
function withoutInput(outcome: Outcome): Outcome {
  const slim = (job: Job): Job =>
    job.deliver.some((to) => "rest" in to) ? job : { ...job, input: undefined };
  if ("job" in outcome) return { ...outcome, job: slim(outcome.job) };
  if (outcome.is !== "rejected" || !outcome.about) return outcome;
  return { ...outcome, about: { ...outcome.about, job: slim(outcome.about.job) } };
}

/** parse -> claim -> execute. Never throws: whatever happens is an outcome. */
async function outcomeOf(run: Run): Promise<Outcome> {
  const { lease, cut } = run;
  const signal = AbortSignal.any([lease.signal, cut]);
  try {
    if (!(await lease.confirm())) return { is: "interrupted", why: "lease_lost" };
    const read = await run.readMessage(lease.message, signal);
    emitReceived(run, read.is === "job" ? read.job : null);
    switch (read.is) {
      case "malformed":
        return { is: "rejected", error: read.error };
      case "nothing":
        return { is: "ignored", reason: read.reason };
      case "several":
        await run.enqueue(read.jobs, lease.message.group);
        return { is: "ignored", reason: `split into ${read.jobs.length} jobs` };
      case "job":
        return await claimAndExecute(read.job, run);
    }
  } catch (thrown) {
    const error = toKamadoError(signal.aborted ? signal.reason : thrown, "handler_failed");
    if (error.code === "lease_lost" || error.code === "stopping")
      return { is: "interrupted", why: error.code };
    return { is: "retry", error };
  }
}

/** Asks at the same time whether the job is done already, whether another worker runs it, and whether it was canceled. */
async function claimAndExecute(job: Job, run: Run): Promise<Outcome> {
  const { lease, claim, results } = run;
  if (!claim.enter(job.id)) return { is: "interrupted", why: "already_running" };
  const find = () => results.find(job.id, lease.signal);
  const [found, taken, canceled] = await Promise.all([find(), claim.take(job.id), claim.watch(job.id)]);
  if (taken.is === "another's") return { is: "interrupted", why: "already_running" };
  const stored = found ?? (taken.lookAgain ? await find() : null);
  if (stored) return alreadyDone(job, stored);
  return execute(job, taken.lock, canceled, run);
}

/** A job that was done before is answered with its stored result. It never runs a second time. */
function alreadyDone(job: Job, stored: Result): Outcome {
  if (stored.kind === job.kind) {
    const error = deadLetterReason(stored);
    if (!error) return { is: "succeeded", job, result: stored, stored: true };
    return { is: "rejected", error, about: { job, result: stored }, keep: false, deadLetter: true };
  }
  const why = `id: "${job.id}" already names a job of the kind ${stored.kind}.`;
  const error = new KamadoError("duplicate_id", why);
  const result = failed(job.id, job.kind, error, stored.receipt);
  return { is: "rejected", error, about: { job, result }, keep: false };
}

/** Such a failure is dead-lettered too. The worker that stored it may have died before it did that. */
function deadLetterReason({ error }: Result): KamadoError | null {
  if (error?.code !== "attempts_exhausted" && error?.code !== "engine_died") return null;
  return new KamadoError(error.code, error.message);
}

/** Beside the other jobs of this worker, or alone if the engine died too often during this job. */
async function execute(
  job: Job,
  lock: JobLock,
  canceled: AbortSignal,
  { lease, cut, quarantine, handlers }: Run,
): Promise<Outcome> {
  const { message, receivedWall } = lease;
  const arrival = { message, receivedWall, signal: AbortSignal.any([lease.signal, lock.signal]) };
  const stop = AbortSignal.any([cut, canceled]);
  const isAlone = mustRunAlone(lock.deaths);
  // If a signal fires while the job waits to enter, `executeHandler` makes the outcome of a run that never began.
  const leave = await quarantine
    .enter(isAlone, AbortSignal.any([arrival.signal, stop]))
    .catch(() => () => {});
  try {
    return afterEngineDeath(await executeHandler(job, arrival, stop, handlers), lock, isAlone);
  } finally {
    leave();
  }
}

/** Counts the death at the job's lock. The job that is proven to kill the engine fails for good and is dead-lettered. */
function afterEngineDeath(outcome: Outcome, lock: JobLock, wasAlone: boolean): Outcome {
  if (outcome.is !== "retry" || outcome.error.code !== "engine_died" || !outcome.about) return outcome;
  const deaths = lock.countDeath(wasAlone);
  if (!killsEngine(deaths)) return outcome;
  const { job, receipt } = outcome.about;
  const error = new KamadoError(
    "engine_died",
    `The engine died during ${totalOf(deaths)} runs of the job, the last time with no other job beside it. ${outcome.error.message}`,
    { cause: outcome.error },
  );
  const about = { job, result: failed(job.id, job.kind, error, receipt) };
  return { is: "rejected", error, about, keep: true, deadLetter: true };
}

/**
 * store -> deliver -> dead-letter. Lease and job lock are confirmed before each effect: a job that another worker holds is not
 * ours to finish.
 */
async function carryOut(plan: Plan, run: Run): Promise<Ending> {
  const { lease, claim, cut } = run;
  const isOurs = async () => (await lease.confirm()) && (await claim.confirm());
  const signal = AbortSignal.any([lease.lost, claim.lost, cut]);
  try {
    if (plan.store && (await isOurs())) await store(plan.store, run, isOurs);
    if (plan.deliver) run.freeSlot();
    if (plan.deliver && (await isOurs()))
      await run.deliverAll(plan.deliver, lease.message, { isOurs, signal });
    if (plan.deadLetter && (await isOurs()))
      await run.deadLetters.message(lease.message, plan.deadLetter, receiptOf(plan));
    return (await isOurs()) ? plan.message : "leave";
  } catch (thrown) {
    if (lease.signal.aborted || claim.lost.aborted) return "leave";
    if (cut.aborted) return { releaseAfterSeconds: 0 };
    return afterFailedEffect(toKamadoError(thrown, "delivery_failed"), plan, run);
  }
}

const STORE_TRIES = 5;
const STORE_BACKOFF = { baseMs: 500, maxMs: 4_000 };

/**
 * Makes the result durable before anybody hears of it. Computing it again costs more than a few seconds of patience, so a short
 * outage of the bucket is waited out here. Throws `storage_unavailable` after the last try.
 */
async function store(result: Result, run: Run, isOurs: () => Promise<boolean>): Promise<void> {
  const { results, jobEvents, clock, lease, cut } = run;
  const signal = AbortSignal.any([lease.signal, cut]);
  for (let tries = 1; ; tries++) {
    try {
      await results.store(result);
      break;
    } catch (thrown) {
      if (!toKamadoError(thrown, "storage_unavailable").retry || tries === STORE_TRIES) throw thrown;
      await clock.sleep(backoffMs(tries, STORE_BACKOFF), signal);
      if (signal.aborted || !(await isOurs())) throw thrown;
    }
  }
  const { id: job, kind, status } = result;
  jobEvents.emit({ stage: "stored", job, kind, status }, `result stored at ${results.address(job)}`);
}

/** The result is stored, or will be computed again. Either way the message comes back later. */
function afterFailedEffect(error: KamadoError, plan: Plan, run: Run): Ending {
  const { message } = run.lease;
  const job = plan.deliver?.job.id ?? message.id;
  run.jobEvents.emit({ stage: "delivery_failed", job, error: error.code }, error.message);
  const backoff = backoffMs(message.receiveCount, retryBackoff(run.retryMs));
  const ms = Math.max(error.detail?.retryAfterMs ?? 0, backoff);
  return { releaseAfterSeconds: Math.ceil(ms / 1_000) };
}

const receiptOf = ({ store, deliver }: Plan) => (store ?? deliver?.result)?.receipt;

function emitReceived({ lease, jobEvents }: Run, job: Job | null): void {
  const { id, receiveCount: attempt } = lease.message;
  const about = { job: job?.id ?? id, ...(job && { kind: job.kind }) };
  jobEvents.emit({ stage: "received", ...about, message: id, attempt }, "received");
}

function emitEnded({ lease, jobEvents }: Run, outcome: Outcome, ending: Ending): void {
  const job = "job" in outcome ? outcome.job : "about" in outcome ? outcome.about?.job : undefined;
  const error = "error" in outcome ? outcome.error : undefined;
  const receipt = resultOf(outcome)?.receipt;
  jobEvents.emit(
    {
      stage: "ended",
      job: job?.id ?? lease.message.id,
      outcome: outcome.is,
      ending: typeof ending === "string" ? ending : `back in ${ending.releaseAfterSeconds} s`,
      ...(job && { kind: job.kind }),
      ...(error && { error: error.code }),
      ...(receipt && { receipt }),
    },
    error ? `${outcome.is}: ${error.message}` : outcome.is,
  );
}

function resultOf(outcome: Outcome): Result | undefined {
  if ("result" in outcome) return outcome.result;
  return outcome.is === "rejected" ? outcome.about?.result : undefined;
}
