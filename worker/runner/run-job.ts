// A job's whole life on one page. The consumer receives and leases a message and calls `runJob`:
//
//     parse -> claim -> execute -> settle -> store -> deliver -> dead-letter
//
// and the consumer carries out the ending that comes back: it deletes the message, gives it back, or leaves it to the queue.
import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import type { Ending } from "../consumer/acks.ts";
import type { RunControls } from "../consumer/consumer.ts";
import type { Health } from "../consumer/health-check.ts";
import type { Lease } from "../consumer/lease.ts";
import { KamadoError, stackOf, toKamadoError } from "../errors.ts";
import { type Job, type Refused, summaryOf } from "../job/envelope.ts";
import { isResultOf, jobHash } from "../job/job-hash.ts";
import type { Outcome } from "../job/outcome.ts";
import { isHandlerMissing } from "../job/registry.ts";
import { failed, type Result } from "../job/result.ts";
import { tenantOf } from "../job/tenant.ts";
import { readTraceContext } from "../job/trace-context.ts";
import { killsEngine, totalOf } from "../job-lock/engine-deaths.ts";
import { JobClaim, type JobClaims } from "../job-lock/job-claim.ts";
import type { JobLock } from "../job-lock/lock.ts";
import type { JobEvents, NewJobEvent } from "../logging/job-events.ts";
import type { DeliverAll } from "../outbox/deliver-result.ts";
import type { DeadLetters } from "../queue/dead-letter.ts";
import type { Results } from "../storage/results.ts";
import { inSpan, type Span, type Tracer } from "../tracing/tracer.ts";
import { executeHandler, unusedReceipt } from "./execute-handler.ts";
import type { HandlerDependencies } from "./handler-context.ts";
import type { Quarantine } from "./quarantine.ts";
import type { ReadMessage } from "./read-message.ts";
import { type Plan, retryBackoff, settle } from "./settle.ts";
import type { SplitEvent } from "./split-event.ts";

/** What all runs of a worker share. */
export type Dependencies = {
  readMessage: ReadMessage;
  /** Sends the jobs of an event with several records as messages of their own. */
  split: SplitEvent;
  claims: JobClaims;
  results: Results;
  quarantine: Quarantine;
  engine: Health;
  handlers: HandlerDependencies;
  deliverAll: DeliverAll;
  deadLetters: DeadLetters;
  jobEvents: JobEvents;
  tracer: Tracer;
  maxAttempts: number;
  /** Before the second attempt [5,000]; later waits grow from it. */
  retryMs?: number;
  clock: Clock;
};

/** One message being worked on. */
type Run = Dependencies &
  RunControls & {
    lease: Lease;
    claim: JobClaim;
    /** Null as long as the body has not been read, and when it holds no single job. */
    job: Pick<Job, "id" | "kind"> | null;
    /** Around all that is done for the job. */
    span: Span | null;
  };

/** Works on one message and resolves with what becomes of it. Never throws. */
export async function runJob(
  lease: Lease,
  controls: RunControls,
  dependencies: Dependencies,
): Promise<Ending> {
  const run: Run = {
    ...dependencies,
    ...controls,
    lease,
    claim: new JobClaim(dependencies.claims),
    job: null,
    span: null,
  };
  const outcome = withoutInput(await outcomeOf(run));
  const { receiveCount } = lease.message;
  const plan = settle(outcome, { ...dependencies, receiveCount, maxAttempts: maxAttemptsOf(run) });
  const ending = await carryOut(plan, run);
  // Before the message goes back: whoever receives it next must not find the job taken.
  await run.claim.end(ending === "delete" ? "done" : "again");
  emitEnded(run, outcome, plan, ending);
  return ending;
}

/** Deaths of the engine use up no attempt, because others may have caused them. They have a limit of their own. */
const maxAttemptsOf = ({ maxAttempts, claim }: Run) => maxAttempts + claim.deaths;

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
    if (read.is === "job") {
      const job = begin(read.job, run);
      emitReceived(
        run,
        job,
        hasBrokenTrace(read.job) ? "; its traceparent is not valid and has no effect" : "",
      );
      return await claimAndExecute(job, run);
    }
    emitReceived(run);
    switch (read.is) {
      case "malformed":
        return { is: "rejected", error: read.error };
      case "nothing":
        return { is: "ignored", reason: read.reason };
      case "several":
        return await split(read, run, AbortSignal.any([signal, run.stopping]));
    }
  } catch (thrown) {
    const error = toKamadoError(signal.aborted ? signal.reason : thrown, "handler_failed");
    if (error.code === "lease_lost" || error.code === "stopping")
      return { is: "interrupted", why: error.code };
    // A body that is no job has been told from others by now. What else goes wrong here is the worker's own trouble.
    return { is: "retry", error };
  }
}

/** The job, in a span of its own: from here on its trace is that of the span, which goes on to the engine and to the receivers. */
function begin(job: Job, run: Run): Job {
  const { lease, tracer } = run;
  const { message, receivedWall } = lease;
  run.job = { id: job.id, kind: job.kind };
  const queue = message.queue.split("/").at(-1)!;
  const attributes = {
    "messaging.system": "aws_sqs",
    "messaging.operation.name": "process",
    "messaging.operation.type": "process",
    "messaging.destination.name": queue,
    "messaging.message.id": message.id,
    "kamado.job.id": job.id,
    "kamado.job.kind": job.kind,
  };
  run.span = tracer.begin(`process ${queue}`, { parent: job, kind: "consumer", attributes });
  const { trace } = run.span;
  // Only of the first receive it is known how long the message waited.
  if (message.sentAt !== null && message.receiveCount === 1)
    tracer.begin("queue", { parent: trace ?? {}, at: message.sentAt }).end(undefined, receivedWall);
  const { traceparent: _, tracestate: __, ...rest } = job;
  return { ...rest, ...trace };
}

const hasBrokenTrace = (job: Job) => job.traceparent !== undefined && !readTraceContext(job);

/** A stop does not wait for the rest: a second try sends what the first one did not. A job that the queue will never take never becomes a message. */
async function split(several: Several, run: Run, signal: AbortSignal): Promise<Outcome> {
  const { jobs, refused, ignored } = several;
  try {
    await run.split(jobs, run.lease.message, signal);
    for (const one of refused) {
      signal.throwIfAborted();
      await putAside(one, run);
    }
    const counts = [
      `split into ${jobs.length === 1 ? "1 job" : `${jobs.length} jobs`}`,
      ...(refused.length > 0 ? [`${refused.length} dead-lettered`] : []),
      ...(ignored.length > 0 ? [`${ignored.length} ignored: ${summaryOf(ignored)}`] : []),
    ];
    return { is: "ignored", reason: counts.join("; ") };
  } catch (thrown) {
    if (thrown instanceof KamadoError && ["body_too_large", "message_rejected"].includes(thrown.code))
      return { is: "rejected", error: thrown };
    throw thrown;
  }
}

type Several = Extract<Awaited<ReturnType<ReadMessage>>, { is: "several" }>;

/** One of several that is no job is dead-lettered alone, as the message that it would have been. Redriven, it has its own id. */
async function putAside({ id, body, error }: Refused, { lease, deadLetters }: Run): Promise<void> {
  if (!(await lease.confirm())) throw new KamadoError("lease_lost", "Another worker has the event.");
  await deadLetters.message({ ...lease.message, id, body }, error);
}

/** Asks at the same time whether the job is done already, whether another worker runs it, and whether it was canceled. */
async function claimAndExecute(job: Job, run: Run): Promise<Outcome> {
  const { lease, claim, results } = run;
  if (!claim.enter(job.id, jobHash(job))) return besideAnother(job, run);
  const find = () => results.find(job.id, lease.signal);
  const [found, taken, canceled] = await Promise.all([find(), claim.take(job.id), claim.watch(job.id)]);
  if (taken.is === "another's") return { is: "interrupted", why: "already_running" };
  const stored = found ?? (taken.is === "other job's" || taken.lookAgain ? await find() : null);
  if (stored && !mayRunNow(job, stored, run)) return alreadyDone(job, stored, run);
  if (taken.is === "other job's") return duplicateId(job, run);
  return execute(job, taken.lock, canceled, run);
}

/** A job with this id runs in this process: the same job, which then has a result for this message too, or another one. */
async function besideAnother(job: Job, run: Run): Promise<Outcome> {
  if (!(await run.claim.isOtherJobs(job.id))) return { is: "interrupted", why: "already_running" };
  const stored = await run.results.find(job.id, run.lease.signal);
  return stored ? alreadyDone(job, stored, run) : duplicateId(job, run);
}

/** A job that was done before is answered with its stored result. It never runs a second time. */
function alreadyDone(job: Job, stored: Result, run: Run): Outcome {
  if (!isResultOf(job, stored)) return duplicateId(job, run);
  const error = deadLetterReason(stored);
  if (!error) return { is: "succeeded", job, result: stored, stored: true };
  return { is: "rejected", error, about: { job, result: stored }, keep: false, deadLetter: true };
}

/** A worker that had no handler for the job, or a day whose budget was used up, says nothing about the job. */
function mayRunNow(job: Job, stored: Result, { handlers: { registry } }: Run): boolean {
  // Whether a budget is used up now is asked before the job begins.
  if (stored.error?.retryAt !== undefined) return isResultOf(job, stored);
  const handler = registry.get(job.kind);
  return isHandlerMissing(stored.error?.code) && isResultOf(job, stored) && !!handler && !handler.broken;
}

/** Says nothing of the job that has the id: whoever sends an id may have guessed it. */
function duplicateId(job: Job, { lease, handlers }: Run): Outcome {
  const error = new KamadoError("duplicate_id", `id: "${job.id}" belongs to a job with another input.`);
  const result = failed(job.id, job.kind, error, unusedReceipt(lease, handlers));
  return { is: "rejected", error, about: { job, result }, keep: false };
}

/** Such a failure is dead-lettered too. The worker that stored it may have died before it did that. */
function deadLetterReason({ error }: Result): KamadoError | null {
  const { code } = error ?? {};
  if (code !== "attempts_exhausted" && code !== "engine_died" && !isHandlerMissing(code)) return null;
  return new KamadoError(code, error!.message);
}

/** Beside the other jobs of this worker, or alone if the job is suspected of killing the engine, when it is its turn. */
async function execute(job: Job, lock: JobLock, canceled: AbortSignal, run: Run): Promise<Outcome> {
  const { lease, cut, quarantine, handlers } = run;
  const { message, receivedWall } = lease;
  const signal = AbortSignal.any([lease.signal, lock.signal]);
  const arrival = { message, receivedWall, signal, attempts: lock.attempts, maxAttempts: maxAttemptsOf(run) };
  const stop = AbortSignal.any([cut, canceled]);
  const waiting = AbortSignal.any([arrival.signal, stop]);
  const suspect = () => ({ id: job.id, kind: job.kind, deaths: lock.deaths });
  // If a signal fires while the job waits to enter, `executeHandler` makes the outcome of a run that never began.
  await engineBack(run, waiting);
  const place = await quarantine.enter(suspect(), waiting).catch(() => null);
  if (place?.is === "held") return { is: "interrupted", why: "held_apart", afterMs: place.ms };
  await engineBack(run, waiting);
  const outcome = await executeHandler(job, arrival, stop, handlers);
  if (outcome.is !== "interrupted") lock.countRun();
  const settled = afterEngineDeath(outcome, lock, place?.isAlone ?? false);
  place?.leave(isDeath(outcome) ? "died" : outcome.is === "succeeded" ? "succeeded" : "otherwise", suspect());
  return settled;
}

/** As long as messages that were pulled wait for a restarting engine. Then the job meets its error. */
const ENGINE_WAIT_MS = 300_000;

/** The engine may have died while the job waited to enter. To run it now would cost an attempt. */
async function engineBack({ engine, clock }: Run, signal: AbortSignal): Promise<void> {
  if (engine.isHealthy) return;
  const over = new AbortController();
  const waiting = AbortSignal.any([signal, over.signal]);
  void clock.sleep(ENGINE_WAIT_MS, waiting).then(() => over.abort());
  await engine.healthy(waiting);
  over.abort();
}

const isDeath = (outcome: Outcome): outcome is Extract<Outcome, { is: "retry" }> =>
  outcome.is === "retry" && outcome.error.code === "engine_died";

/** Counts the death at the job's lock. The job that is proven to kill the engine fails for good and is dead-lettered. */
function afterEngineDeath(outcome: Outcome, lock: JobLock, wasAlone: boolean): Outcome {
  if (!isDeath(outcome) || !outcome.about) return outcome;
  const deaths = lock.countDeath(wasAlone);
  if (!killsEngine(deaths)) return outcome;
  const { job, receipt } = outcome.about;
  const error = new KamadoError(
    "engine_died",
    `The engine died during ${totalOf(deaths)} runs of the job${wasAlone ? ", the last time with no other job beside it" : ""}. ${outcome.error.message}`,
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
  const isOurs = ownershipOf(run);
  const signal = AbortSignal.any([lease.lost, claim.lost, cut]);
  let failed: FailedEffect = "store_failed";
  try {
    if (plan.store && (await isOurs())) {
      await store(plan.store, run, isOurs);
      await forgetCheckpoints(plan, run);
    }
    failed = "delivery_failed";
    // Receivers that are slow must not hold a slot.
    if (plan.deliver) run.freeSlot();
    if (plan.deliver && (await isOurs()))
      await run.deliverAll(plan.deliver, lease.message, { isOurs, signal });
    failed = "dead_letter_failed";
    if (plan.deadLetter && (await isOurs()))
      await run.deadLetters.message(lease.message, plan.deadLetter, receiptOf(plan));
    return (await isOurs()) ? plan.message : "leave";
  } catch (thrown) {
    if (lease.signal.aborted || claim.lost.aborted) return "leave";
    if (cut.aborted) return { releaseAfterSeconds: 0 };
    return afterFailedEffect(failed, toKamadoError(thrown, "delivery_failed"), plan, run);
  }
}

/** Once it has said no, it says no: a renewal that works later does not make up for the effects that were left out. */
function ownershipOf({ lease, claim }: Run): () => Promise<boolean> {
  let isLost = false;
  return async () => {
    if (isLost) return false;
    if (!((await lease.confirm()) && (await claim.confirm()))) isLost = true;
    return !isLost;
  };
}

type FailedEffect = "store_failed" | "delivery_failed" | "dead_letter_failed";

const STORE_TRIES = 5;
const STORE_BACKOFF = { baseMs: 500, maxMs: 4_000 };

/**
 * Makes the result durable before anybody hears of it. Computing it again costs more than a few seconds of patience, so a short
 * outage of the bucket is waited out here. Throws `storage_unavailable` after the last try.
 */
async function store(result: Result, run: Run, isOurs: () => Promise<boolean>): Promise<void> {
  const { results, jobEvents, clock, lease, cut, claim } = run;
  const signal = AbortSignal.any([lease.signal, cut]);
  const write = () => results.store({ ...result, jobHash: claim.jobHash });
  for (let tries = 1; ; tries++) {
    try {
      await inSpan(run.tracer, "store", { parent: run.span?.trace ?? {} }, write);
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

/** A dead letter may be sent back: then the job goes on where it ended. */
async function forgetCheckpoints({ store, deadLetter }: Plan, { handlers }: Run): Promise<void> {
  if (store && !deadLetter) await handlers.checkpoints.remove(store.id, store.receipt.attempts);
}

/** The result is stored, or will be computed again. Either way the message comes back later. */
function afterFailedEffect(stage: FailedEffect, error: KamadoError, plan: Plan, run: Run): Ending {
  const { message } = run.lease;
  run.jobEvents.emit({ stage, ...aboutOf(run), error: error.code } as NewJobEvent, error.message);
  // A result that was not stored is computed again: that is another attempt. What is stored is only delivered again.
  const tries = stage === "store_failed" ? receiptOf(plan)?.attempts : undefined;
  const backoff = backoffMs(tries ?? message.receiveCount, retryBackoff(run.retryMs));
  const ms = Math.max(error.detail?.retryAfterMs ?? 0, backoff);
  return { releaseAfterSeconds: Math.ceil(ms / 1_000) };
}

const receiptOf = ({ store, deliver }: Plan) => (store ?? deliver?.result)?.receipt;

const aboutOf = ({ job, lease }: Run) => ({
  job: job?.id ?? lease.message.id,
  ...(job && { kind: job.kind }),
});

function emitReceived(run: Run, job?: Job, remark = ""): void {
  const { message, receivedWall: receivedAt } = run.lease;
  const { id, receiveCount: receives, sentAt, group } = message;
  const tenant = tenantOf(job?.policy ?? {}, message);
  const facts = { ...(job && { job }), message: { sentAt, receivedAt, group, tenant } };
  const event = { stage: "received", ...aboutOf(run), message: id, receives } as const;
  run.jobEvents.emit(event, `received${remark}`, facts);
}

function emitEnded(run: Run, outcome: Outcome, plan: Plan, ending: Ending): void {
  const last = "error" in outcome ? outcome.error : undefined;
  const error = plan.deadLetter ?? last;
  const is = outcome.is === "retry" && plan.deadLetter ? "rejected" : outcome.is;
  const result = plan.store ?? plan.deliver?.result;
  const { receipt } = result ?? {};
  const stack = stackOf(last);
  run.span?.set({ "kamado.job.outcome": is, "kamado.job.attempts": receipt?.attempts });
  run.span?.end(error?.code);
  run.jobEvents.emit(
    {
      stage: "ended",
      ...aboutOf(run),
      outcome: is,
      ...(outcome.is === "interrupted" && { why: outcome.why }),
      ending: shownEnding(ending, plan),
      ...(error && { error: error.code }),
      ...(last && last.code !== error?.code && { lastError: last.code }),
      ...(last?.detail?.bucket !== undefined && { bucket: last.detail.bucket }),
      ...(receipt && { receipt }),
      ...(stack && { stack }),
    },
    error ? `${is}: ${error.message}` : describe(outcome),
    { ...(result && { result }), ...(error && { error: wordsOf(error) }) },
  );
}

const wordsOf = ({ code, message, hint }: KamadoError) => ({ code, message, hint });

/** Why nothing was done is said, because the sender may have expected a job. */
function describe(outcome: Outcome): string {
  if (outcome.is === "ignored") return `ignored: ${outcome.reason}`;
  return outcome.is === "interrupted" ? `interrupted: ${outcome.why}` : outcome.is;
}

function shownEnding(ending: Ending, { deadLetter }: Plan): string {
  if (ending === "delete") return deadLetter ? "dead-lettered" : ending;
  return ending === "leave" ? ending : `back in ${ending.releaseAfterSeconds} s`;
}
