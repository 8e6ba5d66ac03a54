// The verdict on a storm: compares what was planned with what was observed afterwards in the bucket, in the queues, at the
// receivers and in the engines' record. Pure.
import { type End, type PlannedJob, type ShapeName, shapeOf, type Target } from "./jobs.ts";
import type { Observed } from "./observe.ts";
import { SLOTS } from "./worker-environment.ts";
import type { Exit } from "./workers.ts";

export type Planned = {
  list: readonly PlannedJob[];
  kills: number;
  addressOf(target: Target, job: PlannedJob): string;
};

/** `lost`: an end or an effect is missing. `doubled`: there are two. `wrong`: it is not the one it must be. */
export type Finding = { is: "lost" | "doubled" | "wrong"; job: string | null; what: string };

export type Verdict = {
  jobs: number;
  /** Jobs with exactly one end. */
  final: number;
  findings: Finding[];
  inferencesPerJob: number;
  allowedPerJob: number;
  good: boolean;
};

export function judge(planned: Planned, observed: Observed): Verdict {
  const { list } = planned;
  const byJob = groupByJob(observed);
  const ends = list.map((job) => ({ job, ends: endsOf(job.id, byJob) }));
  const findings = [
    ...ends.flatMap(({ job, ends }) => [
      ...judgeEnd(job, ends, byJob),
      ...judgeEffects(job, ends[0], planned, byJob),
      ...judgeAnswers(job, ends[0], byJob),
    ]),
    ...judgeExits(observed.exits),
    ...judgeUnknownJobs(list, observed),
    ...Object.entries(observed.left).flatMap(([queue, count]) =>
      count === 0 ? [] : [wrong(null, `${count} messages are left in ${queue}`)],
    ),
  ];
  const inferencesPerJob = answersPerJob(list, observed);
  const allowed = allowedPerJob(planned);
  return {
    jobs: list.length,
    final: ends.filter(({ ends }) => ends.length === 1).length,
    findings,
    inferencesPerJob,
    allowedPerJob: allowed,
    good: findings.length === 0 && inferencesPerJob <= allowed,
  };
}

/** The last line of a storm. */
export function summaryOf({ jobs, final, findings, inferencesPerJob }: Verdict): string {
  const jobsWith = (is: Finding["is"]) =>
    new Set(findings.filter((one) => one.is === is).map(({ job }) => job)).size;
  return `storm: ${jobs} jobs, ${final} final, ${jobsWith("lost")} lost, ${jobsWith("doubled")} doubled, ${inferencesPerJob.toFixed(2)} inferences per job`;
}

const lost = (job: string, what: string): Finding => ({ is: "lost", job, what });
const doubled = (job: string, what: string): Finding => ({ is: "doubled", job, what });
const wrong = (job: string | null, what: string): Finding => ({ is: "wrong", job, what });

type ByJob = Pick<Observed, "results" | "inResultQueue"> & {
  [part in "deadJobs" | "deadDeliveries" | "effects" | "begun"]: ReadonlyMap<string | null, Observed[part]>;
};

function groupByJob({ deadJobs, deadDeliveries, effects, begun, ...rest }: Observed): ByJob {
  const grouped = <One extends { job: string | null }>(all: readonly One[]) =>
    Map.groupBy(all, ({ job }) => job);
  return {
    ...rest,
    deadJobs: grouped(deadJobs),
    deadDeliveries: grouped(deadDeliveries),
    effects: grouped(effects),
    begun: Map.groupBy(begun, (job) => job),
  };
}

/** A failed job may have a dead letter too. Beside any other result a dead letter is a second end. */
function endsOf(id: string, { results, deadJobs }: ByJob): End[] {
  const status = results.get(id)?.status as End | undefined;
  const isDead = deadJobs.has(id) && status !== "failed";
  return [...(status === undefined ? [] : [status]), ...(isDead ? (["dead"] as const) : [])];
}

function judgeEnd({ id, shape }: PlannedJob, ends: readonly End[], { deadJobs }: ByJob): Finding[] {
  const [end] = ends;
  if (end === undefined) return [lost(id, "it has no end: no stored result and no dead letter")];
  if (ends.length > 1) return [doubled(id, `it has two ends: ${ends.join(" and ")}`)];
  const right = shapeOf(shape).ends;
  const hasReason = (deadJobs.get(id) ?? []).every(({ reason }) => reason);
  return [
    ...(right.includes(end) ? [] : [wrong(id, `it ended ${end}, not ${right.join(" or ")}`)]),
    ...(hasReason ? [] : [wrong(id, "its dead letter has no reason")]),
  ];
}

/** Whether each destination has received the job's end, this end, and only once. */
function judgeEffects(
  job: PlannedJob,
  end: End | undefined,
  { addressOf }: Planned,
  byJob: ByJob,
): Finding[] {
  const { to } = shapeOf(job.shape);
  const named = new Set(to.map((target) => addressOf(target, job)));
  const due = to.flatMap((target) => {
    if (end === undefined) return [];
    if (target !== "queue") return judgeEffect(job.id, target, end, addressOf(target, job), byJob);
    return byJob.inResultQueue.has(job.id) ? [] : [lost(job.id, "its result is not in the queue")];
  });
  return [...due, ...judgeOtherAddresses(job, named, byJob)];
}

/** What arrived at an address that the job did not name. */
function judgeOtherAddresses(
  { id, shape }: PlannedJob,
  named: ReadonlySet<string>,
  { effects, inResultQueue }: ByJob,
): Finding[] {
  const isExpected = !inResultQueue.has(id) || shapeOf(shape).to.includes("queue");
  return [
    ...(effects.get(id) ?? [])
      .filter(({ address }) => !named.has(address))
      .map(({ address }) => wrong(id, `an effect at ${address}, which the job did not name`)),
    ...(isExpected ? [] : [wrong(id, "its result is in a queue that the job did not name")]),
  ];
}

function judgeEffect(
  id: string,
  target: Exclude<Target, "queue">,
  end: End,
  address: string,
  { effects, deadDeliveries }: ByJob,
): Finding[] {
  const here = (effects.get(id) ?? []).filter((one) => one.address === address);
  if (here.length > 1)
    return [doubled(id, `${here.length} effects at ${address}: ${here.map(({ key }) => key).join(", ")}`)];
  const isDeadLetter = (deadDeliveries.get(id) ?? []).some((one) => one.address === address);
  const isThere = target === "gone" ? isDeadLetter : here.length === 1;
  // A failure is delivered to callbacks only. A job that became a dead letter need not be delivered.
  const isOptional = end === "dead" || (target === "rest" && end !== "succeeded");
  if (!isThere && !isOptional)
    return [
      target === "gone"
        ? lost(id, `its refused delivery to ${address} is in no queue`)
        : lost(id, `no effect at ${address}${isDeadLetter ? "; its delivery is a dead letter" : ""}`),
    ];
  const [effect] = here;
  if (effect?.event && end !== "dead" && effect.event !== `job.${end}`)
    return [wrong(id, `it ended ${end}, but ${address} received ${effect.event}`)];
  return [];
}

/** Inferences that may be spent beyond one for each job. */
const SPARE = 0.1;

/** From this many jobs on, what single faults cost evens out. */
const MANY_JOBS = 1_000;

/**
 * How many answers a job may cost beyond its own when no other fault is injected. Each time its engine dies, the answers in all
 * slots are lost. An `engine-killed` job does that once. Poison does it twice beside other jobs and once more alone.
 */
const LOST_ANSWERS: Partial<Record<ShapeName, number>> = { "engine-killed": SLOTS, poison: 2 * SLOTS };

/** Counts every answer that was begun for the jobs that need one. A second message for the same job needs no second answer. */
function answersPerJob(list: readonly PlannedJob[], { begun }: Observed): number {
  const asking = new Set(list.filter(needsAnswer).map(({ id }) => id));
  const count = begun.filter((job) => job === null || asking.has(job)).length;
  return asking.size === 0 ? 0 : count / asking.size;
}

/**
 * A tenth, or one answer for each fault where there are more faults. In a smaller storm what poison and killed engines cost is added:
 * there it is a large part, and a fault costs up to as many answers as there are slots, so that a few unlucky ones show.
 */
export function allowedPerJob({ list, kills }: Planned): number {
  const spare = Math.max(SPARE, kills / list.length);
  if (list.length >= MANY_JOBS) return 1 + spare;
  const asking = Math.max(1, list.filter(needsAnswer).length);
  const lostAnswers = list.reduce((sum, { shape }) => sum + (LOST_ANSWERS[shape] ?? 0), 0);
  return 1 + spare + lostAnswers / asking;
}

const needsAnswer = ({ shape }: PlannedJob) => shapeOf(shape).asks === "always";

function judgeAnswers({ id, shape }: PlannedJob, end: End | undefined, { begun }: ByJob): Finding[] {
  const { asks } = shapeOf(shape);
  const count = begun.get(id)?.length ?? 0;
  if (asks === "never" && count > 0)
    return [wrong(id, `the model was asked ${count} times, but must not be asked`)];
  if (asks === "always" && end === "succeeded" && count === 0)
    return [wrong(id, "it succeeded, but no engine recorded an answer")];
  return [];
}

/** Whether the workers ended only because of the storm. */
function judgeExits(exits: readonly Exit[]): Finding[] {
  return exits.flatMap((exit) => {
    const found = (what: string) => [
      wrong(null, `worker ${exit.worker} ${what}; see worker-${exit.worker}.log`),
    ];
    if (exit.isLate) return found("did not end after SIGTERM, and was killed");
    return isByStorm(exit) ? [] : found(`ended by itself: ${exit.signal ?? `exit code ${exit.code}`}`);
  });
}

/** It ended by a signal that it was sent, or with code 0 after SIGTERM. */
const isByStorm = ({ code, signal, sent }: Exit) =>
  signal === null ? code === 0 && sent.includes("SIGTERM") : sent.includes(signal);

/** What belongs to no job of the plan. */
function judgeUnknownJobs(list: readonly PlannedJob[], observed: Observed): Finding[] {
  const { effects, deadJobs, deadDeliveries, inResultQueue, begun } = observed;
  const known = new Set<string | null>(list.map(({ id }) => id));
  const jobsOf = (all: readonly { job: string | null }[]) => all.map(({ job }) => job);
  const parts: [what: string, jobs: readonly (string | null)[]][] = [
    ["effects", jobsOf(effects)],
    ["dead letters", jobsOf(deadJobs)],
    ["dead deliveries", jobsOf(deadDeliveries)],
    ["messages in the result queue", [...inResultQueue]],
    ["answers", begun],
  ];
  return parts.flatMap(([what, jobs]) => {
    const count = jobs.filter((job) => !known.has(job)).length;
    return count === 0 ? [] : [wrong(null, `${count} ${what} belong to no job`)];
  });
}
