// The verdict over a storm, from the outside: what was planned against what was found afterwards in the bucket, in the
// queues, at the receivers and in the engines' records. Pure.

import { allowedPerJob, answersPerJob, judgeAnswers } from "./count-answers.ts";
import { judgeEffects } from "./count-effects.ts";
import { judgeExits } from "./count-exits.ts";
import { type Books, bookOf, type Finding, type Observed, type Planned } from "./observed.ts";
import type { PlannedJob } from "./plan.ts";
import { type End, shapeOf } from "./shapes.ts";

export type Verdict = {
  jobs: number;
  /** Jobs in exactly one final state. */
  final: number;
  findings: Finding[];
  inferencesPerJob: number;
  allowedPerJob: number;
  good: boolean;
};

export function judge(planned: Planned, observed: Observed): Verdict {
  const { list } = planned;
  const books = bookOf(observed);
  const ends = list.map((job) => ({ job, ends: endsOf(job.id, books) }));
  const findings = [
    ...ends.flatMap(({ job, ends }) => [
      ...judgeEnd(job, ends, books),
      ...judgeEffects(job, ends[0], planned, books),
      ...judgeAnswers(job, ends[0], books),
    ]),
    ...judgeExits(observed.exits),
    ...strangers(list, observed),
    ...Object.entries(observed.left).flatMap(([queue, count]): Finding[] =>
      count === 0 ? [] : [{ is: "wrong", job: null, what: `${count} messages are left in ${queue}` }],
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

export function receiverOf({ jobs, final, findings, inferencesPerJob }: Verdict): string {
  const jobsWith = (is: Finding["is"]) =>
    new Set(findings.filter((one) => one.is === is).map(({ job }) => job)).size;
  return `storm: ${jobs} jobs, ${final} final, ${jobsWith("lost")} lost, ${jobsWith("doubled")} doubled, ${inferencesPerJob.toFixed(2)} inferences per job`;
}

/** A dead letter beside a stored failure is that failure's own; beside any other result it is a second end. */
function endsOf(id: string, { results, deadJobs }: Books): End[] {
  const status = results.get(id)?.status as End | undefined;
  const dead = deadJobs.has(id) && status !== "failed";
  return [...(status === undefined ? [] : [status]), ...(dead ? (["dead"] as const) : [])];
}

function judgeEnd({ id, shape }: PlannedJob, ends: readonly End[], { deadJobs }: Books): Finding[] {
  if (ends.length === 0)
    return [{ is: "lost", job: id, what: "it has no end: no stored result and no dead letter" }];
  if (ends.length > 1) return [{ is: "doubled", job: id, what: `it has two ends: ${ends.join(" and ")}` }];
  const [end] = ends as [End];
  const findings: Finding[] = [];
  if (!shapeOf(shape).ends.includes(end))
    findings.push({ is: "wrong", job: id, what: `it ended ${end}, not ${shapeOf(shape).ends.join(" or ")}` });
  if ((deadJobs.get(id) ?? []).some(({ reason }) => !reason))
    findings.push({ is: "wrong", job: id, what: "its dead letter has no reason" });
  return findings;
}

/** What belongs to no job of the plan: something was made up. */
function strangers(list: readonly PlannedJob[], observed: Observed): Finding[] {
  const { effects, deadJobs, deadDeliveries, told, begun } = observed;
  const known = new Set<string | null>(list.map(({ id }) => id));
  const unknown = (what: string, all: readonly (string | null)[]): Finding[] => {
    const count = all.filter((job) => !known.has(job)).length;
    return count === 0 ? [] : [{ is: "wrong", job: null, what: `${count} ${what} belong to no job` }];
  };
  return [
    ...unknown(
      "effects",
      effects.map(({ job }) => job),
    ),
    ...unknown(
      "dead letters",
      deadJobs.map(({ job }) => job),
    ),
    ...unknown(
      "dead deliveries",
      deadDeliveries.map(({ job }) => job),
    ),
    ...unknown("messages that a queue was told", [...told]),
    ...unknown("answers", begun),
  ];
}
