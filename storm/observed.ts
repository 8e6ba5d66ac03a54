// What a verdict is reached over: what was planned, what was observed, and what can be found wrong. Pure.
import type { PlannedJob } from "./plan.ts";
import type { Target } from "./shapes.ts";

export type Observed = {
  /** Stored results. */
  results: ReadonlyMap<string, { status: string }>;
  /** Messages in the jobs' dead-letter queue; `job` is null where none is to be seen in it. */
  deadJobs: readonly { job: string | null; reason: string | undefined }[];
  /** Messages in the deliveries' dead-letter queue. */
  deadDeliveries: readonly { job: string | null; address: string }[];
  /** What the receivers applied: each key they had not seen before. */
  effects: readonly { job: string | null; address: string; key: string; event: string | null }[];
  /** Jobs that a queue was told of. */
  told: ReadonlySet<string | null>;
  /** The jobs of the answers that engines began, whether or not they came to their end. */
  begun: readonly (string | null)[];
  /** Messages left in a queue, waiting or hidden. */
  left: Readonly<Record<string, number>>;
  /** How the workers' lives ended, each of them. */
  exits: readonly Exit[];
};

export type Exit = {
  worker: number;
  code: number | null;
  signal: NodeJS.Signals | null;
  /** What the storm had sent it. */
  sent: readonly NodeJS.Signals[];
  /** It did not end after SIGTERM, and was killed. */
  isLate: boolean;
};

/** `lost`: an end or an effect is missing; `doubled`: there are two; `wrong`: it is another than it must be. */
export type Finding = { is: "lost" | "doubled" | "wrong"; job: string | null; what: string };

export type Planned = {
  list: readonly PlannedJob[];
  kills: number;
  addressOf(target: Target, job: PlannedJob): string;
};

/** What was observed, by job. */
export type Books = Pick<Observed, "results" | "told"> & {
  deadJobs: Map<string | null, Observed["deadJobs"]>;
  deadDeliveries: Map<string | null, Observed["deadDeliveries"]>;
  effects: Map<string | null, Observed["effects"]>;
  /** By job, once for each answer. */
  begun: Map<string | null, Observed["begun"]>;
};

export function bookOf({ results, told, deadJobs, deadDeliveries, effects, begun }: Observed): Books {
  const byJob = <One extends { job: string | null }>(all: readonly One[]) =>
    Map.groupBy(all, ({ job }) => job);
  return {
    results,
    told,
    deadJobs: byJob(deadJobs),
    deadDeliveries: byJob(deadDeliveries),
    effects: byJob(effects),
    begun: Map.groupBy(begun, (job) => job),
  };
}
