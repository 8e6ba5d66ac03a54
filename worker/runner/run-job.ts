// The whole life of a job, as verbs, in order. Every stage is a file of its own.

import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import type { Acks } from "../consumer/acks.ts";
import type { Lease } from "../consumer/lease.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { Job } from "../job/envelope.ts";
import type { Outcome } from "../job/outcome.ts";
import { failed, type Result } from "../job/result.ts";
import { isPoison, mustRunAlone, totalOf } from "../job-lock/engine-deaths.ts";
import { JobClaim, type JobClaims } from "../job-lock/job-claim.ts";
import type { JobLock } from "../job-lock/lock.ts";
import type { JobEvents } from "../logging/job-events.ts";
import type { DeliverAll } from "../outbox/deliver-result.ts";
import type { DeadLetters } from "../queue/dead-letter.ts";
import type { Message } from "../queue/queue.ts";
import type { Results } from "../storage/results.ts";
import { executeHandler, type HandlerDependencies } from "./execute-handler.ts";
import type { Quarantine } from "./quarantine.ts";
import type { ReadJob } from "./read-message.ts";
import { type Ending, type Plan, retryBackoff, settle } from "./settle.ts";

export type Dependencies = AttemptDependencies &
  JobClaims & {
    deliverAll: DeliverAll;
    deadLetters: DeadLetters;
    acks: Acks;
    jobEvents: JobEvents;
    maxAttempts: number;
    /** Before the second attempt, when it is another wait than the usual one. */
    retryMs?: number;
  };

/** Runs one message to its end. Never throws. Resolves with false when the message went back and its group must wait for it. */
export async function runJob(lease: Lease, cut: AbortSignal, dependencies: Dependencies): Promise<boolean> {
  const { message } = lease;
  const hold = new JobClaim(dependencies);
  const onRead: Parameters<typeof attempt>[3]["onRead"] = (read) =>
    emitReceived(read, message, dependencies.jobEvents);
  const outcome = await attempt(lease, cut, hold, { ...dependencies, onRead });
  const plan = settle(outcome, { ...dependencies, receiveCount: message.receiveCount });
  const ending = await carryOut(plan, lease, hold, cut, dependencies);
  // Before the message goes back: whoever receives it next must not find the job taken.
  await hold.end(ending === "delete" ? "done" : "again");
  finish(lease, ending, dependencies);
  emitEnded(outcome, ending, message, dependencies.jobEvents);
  return ending === "delete";
}

/** store -> deliver -> dead-letter. Before each effect lease and lock are confirmed: what another worker holds is not ours to finish. */
async function carryOut(
  plan: Plan,
  lease: Lease,
  hold: JobClaim,
  cut: AbortSignal,
  dependencies: Dependencies,
): Promise<Ending> {
  const isOurs = async () => (await lease.confirm()) && (await hold.confirm());
  try {
    const signal = AbortSignal.any([lease.signal, cut]);
    if (plan.store && (await isOurs())) await storeResult(plan.store, dependencies, isOurs, signal);
    const gone = AbortSignal.any([lease.lost, hold.lost, cut]);
    if (plan.deliver && (await isOurs()))
      await dependencies.deliverAll(plan.deliver, lease.message, { isOurs, signal: gone });
    if (plan.deadLetter && (await isOurs()))
      await dependencies.deadLetters.message(lease.message, plan.deadLetter, receiptOf(plan));
    return (await isOurs()) ? plan.message : "leave";
  } catch (thrown) {
    if (lease.signal.aborted || hold.lost.aborted) return "leave";
    if (cut.aborted) return { releaseAfterSeconds: 0 };
    // The result is stored, or will be worked out again: either way the message comes back later.
    const error = toKamadoError(thrown, "delivery_failed");
    dependencies.jobEvents.tell(
      "delivery_failed",
      { job: plan.deliver?.job.id ?? lease.message.id, error: error.code },
      error.message,
    );
    const ms = Math.max(
      error.detail?.retryAfterMs ?? 0,
      backoffMs(lease.message.receiveCount, retryBackoff(dependencies.retryMs)),
    );
    return { releaseAfterSeconds: Math.ceil(ms / 1_000) };
  }
}

const receiptOf = ({ store, deliver }: Plan) => (store ?? deliver?.result)?.receipt;

/** The message goes last. The call is gathered with others; the slot is free meanwhile. */
function finish(lease: Lease, ending: Ending, { acks }: Dependencies): void {
  if (ending === "delete") void acks.delete(lease);
  else if (ending === "leave") lease.lose("left to the queue");
  else void acks.release(lease, ending.releaseAfterSeconds);
}

// The first half of a job's life: from a message to an outcome. What happens about the outcome is run-job.ts's.
export type AttemptDependencies = {
  readJob: ReadJob;
  results: Results;
  handlerDependencies: HandlerDependencies;
  /** Sends jobs of their own messages: one a record of an event that held several. */
  enqueue(jobs: readonly Job[], group: string | null): Promise<void>;
  quarantine: Quarantine;
};
export type Read = Awaited<ReturnType<ReadJob>>;

/** parse -> ours, and not done already? -> inputs -> handler -> validate. Never throws. */
export async function attempt(
  lease: Lease,
  cut: AbortSignal,
  hold: JobClaim,
  dependencies: AttemptDependencies & { onRead(read: Read): void },
): Promise<Outcome> {
  const signal = AbortSignal.any([lease.signal, cut]);
  try {
    if (!(await lease.confirm())) return { is: "interrupted", why: "lease_lost" };
    const read = await dependencies.readJob(lease.message, signal);
    dependencies.onRead(read);
    if (read.is === "malformed") return { is: "rejected", error: read.error };
    if (read.is === "nothing") return { is: "ignored", reason: read.reason };
    if (read.is === "several") {
      await dependencies.enqueue(read.jobs, lease.message.group);
      return { is: "ignored", reason: `split into ${read.jobs.length} jobs` };
    }
    return await once(read.job, lease, cut, hold, dependencies);
  } catch (thrown) {
    const error = toKamadoError(signal.aborted ? signal.reason : thrown, "handler_failed");
    if (error.code === "lease_lost" || error.code === "stopping")
      return { is: "interrupted", why: error.code };
    return { is: "retry", error };
  }
}

/** At once asks whether the job is done, whether anybody runs it, and whether it is still wanted. */
async function once(
  job: Job,
  lease: Lease,
  cut: AbortSignal,
  hold: JobClaim,
  dependencies: AttemptDependencies,
): Promise<Outcome> {
  if (!hold.claim(job.id)) return { is: "interrupted", why: "already_running" };
  const find = () => dependencies.results.find(job.id, lease.signal);
  const [found, taken, canceled] = await Promise.all([find(), hold.take(job.id), hold.watch(job.id)]);
  if (taken.is === "another's") return { is: "interrupted", why: "already_running" };
  const stored = found ?? (taken.lookAgain ? await find() : null);
  if (stored) return doneBefore(job, stored);
  return inTheEngine(job, lease, AbortSignal.any([cut, canceled]), taken.lock, dependencies);
}

/** A job that was done before answers with its stored result, never with a second run. */
function doneBefore(job: Job, stored: Result): Outcome {
  if (stored.kind === job.kind) {
    const aside = whyAside(stored);
    if (!aside) return { is: "succeeded", job, result: stored, stored: true };
    return { is: "rejected", error: aside, about: { job, result: stored }, keep: false, putAside: true };
  }
  const error = new KamadoError(
    "duplicate_id",
    `id: "${job.id}" already names a job of the kind ${stored.kind}.`,
  );
  const result = failed(job.id, job.kind, error, stored.receipt);
  return { is: "rejected", error, about: { job, result }, keep: false };
}

/** A worker that died after it stored such a failure may have told its sender, and may not have put its message aside. */
function whyAside({ error }: Result): KamadoError | null {
  if (error?.code !== "attempts_exhausted" && error?.code !== "engine_died") return null;
  return new KamadoError(error.code, error.message);
}

/** Beside the other jobs of this worker, or alone when the engine died too often meanwhile. */
async function inTheEngine(
  job: Job,
  { message, receivedWall, signal }: Lease,
  cut: AbortSignal,
  lock: JobLock,
  { quarantine, handlerDependencies }: AttemptDependencies,
): Promise<Outcome> {
  const arrival = { message, receivedWall, signal: AbortSignal.any([signal, lock.signal]) };
  const alone = mustRunAlone(lock.deaths);
  // A signal that fires while the job waits for its turn makes the outcome of a run that never began.
  const leave = await quarantine.enter(alone, AbortSignal.any([arrival.signal, cut])).catch(() => () => {});
  try {
    return afterDeath(await executeHandler(job, arrival, cut, handlerDependencies), lock, alone);
  } finally {
    leave();
  }
}

function afterDeath(outcome: Outcome, lock: JobLock, wasAlone: boolean): Outcome {
  if (outcome.is !== "retry" || outcome.error.code !== "engine_died" || !outcome.about) return outcome;
  const deaths = lock.countDeath(wasAlone);
  if (!isPoison(deaths)) return outcome;
  const { job, receipt } = outcome.about;
  const error = new KamadoError(
    "engine_died",
    `The engine died during ${totalOf(deaths)} runs of the job, the last time with no other job beside it. ${outcome.error.message}`,
    { cause: outcome.error },
  );
  const about = { job, result: failed(job.id, job.kind, error, receipt) };
  return { is: "rejected", error, about, keep: true, putAside: true };
}

// The store stage: the result made durable, before anybody hears of it. What was worked out is dearer than a few seconds:
// a bucket that is away for a moment must not cost another run.
const TRIES = 5;
const BACKOFF = { baseMs: 500, maxMs: 4_000 };

export type StoreOptions = { results: Results; jobEvents: JobEvents; handlerDependencies: { clock: Clock } };

/** `goOn` is asked before each further try. Throws `storage_unavailable` after the last. */
export async function storeResult(
  result: Result,
  { results, jobEvents, handlerDependencies }: StoreOptions,
  goOn: () => Promise<boolean>,
  signal: AbortSignal,
): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await results.store(result);
      break;
    } catch (thrown) {
      if (!toKamadoError(thrown, "storage_unavailable").retry || tries === TRIES) throw thrown;
      await handlerDependencies.clock.sleep(backoffMs(tries, BACKOFF), signal);
      if (signal.aborted || !(await goOn())) throw thrown;
    }
  }
  const about = { job: result.id, kind: result.kind, status: result.status };
  jobEvents.tell("stored", about, `result stored at ${results.address(result.id)}`);
}

// What the jobEvents hears of a run's beginning and its end.
export function emitReceived(read: Read, message: Message, jobEvents: JobEvents): void {
  const about = read.is === "job" ? { job: read.job.id, kind: read.job.kind } : { job: message.id };
  jobEvents.tell("received", { ...about, message: message.id, attempt: message.receiveCount }, "received");
}

export function emitEnded(outcome: Outcome, ending: Ending, message: Message, jobEvents: JobEvents): void {
  const job = "job" in outcome ? outcome.job : "about" in outcome ? outcome.about?.job : undefined;
  const result = resultOf(outcome);
  const error = "error" in outcome ? outcome.error : undefined;
  jobEvents.tell(
    "ended",
    {
      job: job?.id ?? message.id,
      outcome: outcome.is,
      ending: typeof ending === "string" ? ending : `back in ${ending.releaseAfterSeconds} s`,
      ...(job && { kind: job.kind }),
      ...(error && { error: error.code }),
      ...(result && { receipt: result.receipt }),
    },
    error ? `${outcome.is}: ${error.message}` : outcome.is,
  );
}

function resultOf(outcome: Outcome) {
  if ("result" in outcome) return outcome.result;
  return outcome.is === "rejected" ? outcome.about?.result : undefined;
}
