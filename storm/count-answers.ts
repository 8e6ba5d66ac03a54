// How often the engines were asked: on average, how often that may be, and where nobody may ask. Pure.
import type { Books, Finding, Observed, Planned } from "./observed.ts";
import type { PlannedJob } from "./plan.ts";
import { type End, type ShapeName, shapeOf } from "./shapes.ts";
import { SLOTS } from "./variables.ts";

/** A tenth more than one each. */
const SPARE = 0.1;

/**
 * Answers that a job may cost beyond its own where no blow falls, for it ends its engine with all that the slots were doing: an
 * unlucky one once; poison twice beside others, and once more alone.
 */
const BROUGHT: Partial<Record<ShapeName, number>> = { unlucky: SLOTS, poison: 2 * SLOTS };

/** Every answer begun counts, for the jobs that need one; a sender's second message for a job needs none. */
export function answersPerJob(list: readonly PlannedJob[], { begun }: Observed): number {
  const asking = new Set(list.filter(needsOne).map(({ id }) => id));
  const count = begun.filter((job) => job === null || asking.has(job)).length;
  return asking.size === 0 ? 0 : count / asking.size;
}

/** More where there is more than one blow to ten jobs, or so few jobs that a tenth of them is less than poison costs alone. */
export function allowedPerJob({ list, kills }: Planned): number {
  const asking = Math.max(1, list.filter(needsOne).length);
  const brought = list.reduce((sum, { shape }) => sum + (BROUGHT[shape] ?? 0), 0);
  return 1 + Math.max(SPARE, kills / list.length, brought / asking);
}

export function judgeAnswers({ id, shape }: PlannedJob, end: End | undefined, { begun }: Books): Finding[] {
  const { asks } = shapeOf(shape);
  const count = begun.get(id)?.length ?? 0;
  if (asks === "never" && count > 0)
    return [{ is: "wrong", job: id, what: `the model was asked ${count} times, and nobody may ask it` }];
  if (asks === "always" && end === "succeeded" && count === 0)
    return [{ is: "wrong", job: id, what: "it succeeded, and no engine noted an answer" }];
  return [];
}

const needsOne = ({ shape }: PlannedJob) => shapeOf(shape).asks === "always";
