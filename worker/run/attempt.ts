// The first half of a job's life: from a message to an outcome. What happens about the outcome is run-job.ts's.
import { KamadoError, toKamadoError } from "../errors.ts";
import type { Job } from "../job/envelope.ts";
import type { Outcome } from "../job/outcome.ts";
import { failed, type Result } from "../job/result.ts";
import type { Hold } from "./hold.ts";
import type { Lease } from "./lease.ts";
import type { Marker } from "./marker.ts";
import { perform, type Workshop } from "./perform.ts";
import { isPoison, mustRunAlone, totalOf } from "./poison.ts";
import type { ReadJob } from "./read-job.ts";
import type { Results } from "./results.ts";
import type { Solitude } from "./solitude.ts";

export type AttemptHouse = {
  readJob: ReadJob;
  results: Results;
  workshop: Workshop;
  /** Sends jobs of their own messages: one a record of an event that held several. */
  enqueue(jobs: readonly Job[], group: string | null): Promise<void>;
  solitude: Solitude;
};
export type Read = Awaited<ReturnType<ReadJob>>;

/** parse -> ours, and not done already? -> inputs -> handler -> validate. Never throws. */
export async function attempt(
  lease: Lease,
  cut: AbortSignal,
  hold: Hold,
  house: AttemptHouse & { onRead(read: Read): void },
): Promise<Outcome> {
  const signal = AbortSignal.any([lease.signal, cut]);
  try {
    if (!(await lease.confirm())) return { is: "interrupted", why: "lease_lost" };
    const read = await house.readJob(lease.message, signal);
    house.onRead(read);
    if (read.is === "malformed") return { is: "rejected", error: read.error };
    if (read.is === "nothing") return { is: "ignored", reason: read.reason };
    if (read.is === "several") {
      await house.enqueue(read.jobs, lease.message.group);
      return { is: "ignored", reason: `split into ${read.jobs.length} jobs` };
    }
    return await once(read.job, lease, cut, hold, house);
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
  hold: Hold,
  house: AttemptHouse,
): Promise<Outcome> {
  if (!hold.claim(job.id)) return { is: "interrupted", why: "already_running" };
  const find = () => house.results.find(job.id, lease.signal);
  const [found, taken, canceled] = await Promise.all([find(), hold.take(job.id), hold.watch(job.id)]);
  if (taken.is === "another's") return { is: "interrupted", why: "already_running" };
  const stored = found ?? (taken.lookAgain ? await find() : null);
  if (stored) return doneBefore(job, stored);
  return inTheEngine(job, lease, AbortSignal.any([cut, canceled]), taken.marker, house);
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
  marker: Marker,
  { solitude, workshop }: AttemptHouse,
): Promise<Outcome> {
  const arrival = { message, receivedWall, signal: AbortSignal.any([signal, marker.signal]) };
  const alone = mustRunAlone(marker.deaths);
  // A signal that fires while the job waits for its turn makes the outcome of a run that never began.
  const leave = await solitude.enter(alone, AbortSignal.any([arrival.signal, cut])).catch(() => () => {});
  try {
    return afterDeath(await perform(job, arrival, cut, workshop), marker, alone);
  } finally {
    leave();
  }
}

function afterDeath(outcome: Outcome, marker: Marker, wasAlone: boolean): Outcome {
  if (outcome.is !== "retry" || outcome.error.code !== "engine_died" || !outcome.about) return outcome;
  const deaths = marker.countDeath(wasAlone);
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
