// One schedule: which job, and when. Owns what its fields may be, and the times that its cron expression means: croner reads it. What was
// already run, and whether another run may begin, is left to schedules.ts. Pure.
import { Cron } from "croner";
import { z } from "zod";
import { describeIssues } from "../errors.ts";
import { Job, Policy } from "../job/envelope.ts";
import { parseSent } from "../job/parse-sent.ts";
import { noSuchKind, type Registry } from "../job/registry.ts";

/** The first part of the ids of its jobs. */
const ScheduleName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    "expected 1 to 64 letters, digits or . _ - with a letter or digit first",
  );

const NICKNAME = /^@(hourly|daily|midnight|weekly|monthly|yearly|annually)$/i;
const FIVE =
  "expected five fields (minute, hour, day of the month, month, weekday), or one of @hourly, @daily, @weekly, @monthly, @yearly";

const CronText = z
  .string()
  .trim()
  .superRefine((cron, context) => {
    const problem = problemOfCron(cron);
    if (problem !== null) context.addIssue({ code: "custom", message: problem });
  });

function problemOfCron(cron: string): string | null {
  if (!NICKNAME.test(cron) && cron.split(/\s+/).length !== 5) return FIVE;
  try {
    return cronOf(cron, "UTC").nextRun() ? null : "there is no such day: it would never run";
  } catch (thrown) {
    return (thrown as Error).message.replace(/^CronPattern: /, "");
  }
}

const Timezone = z.string().refine((name) => {
  try {
    return Intl.DateTimeFormat("en", { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
}, "there is no such time zone; expected a name like Asia/Tokyo or UTC");

/** What an owner writes. */
export const Schedule = z.strictObject({
  name: ScheduleName.describe("Of the schedule; its jobs are NAME-2026-11-29T10:00Z."),
  cron: CronText.describe("When: minute, hour, day of the month, month, weekday."),
  timezone: Timezone.optional().describe(
    "In which the cron expression is read; by default that of this machine.",
  ),
  kind: z.string().min(1).max(100).describe("The kind of the job."),
  input: z.unknown().describe("The job's input."),
  deliver: Job.shape.deliver.describe("Where the results go; by default to the worker's topic."),
  // A moment would be over after the first runs.
  policy: Policy.omit({ expiresAt: true }).default({}).describe("As in a job, without expiresAt."),
  catchUp: z
    .boolean()
    .default(true)
    .describe("Whether the latest run that was missed, because the machine slept, is made up for."),
  enabled: z.boolean().default(true).describe("Whether it runs."),
});
export type Schedule = z.output<typeof Schedule>;

/** The schedule as somebody wrote it, or what is wrong with it: the kind is known, and it takes the input. */
export function readSchedule(
  written: unknown,
  registry: Registry,
): { schedule: Schedule } | { problem: string; field: string | undefined } {
  const parsed = parseSent(Schedule, written);
  if (!parsed.success)
    return { problem: describeIssues(parsed.error, parsed.value), field: fieldOf(parsed.error) };
  const { kind, input } = parsed.data;
  const handler = registry.get(kind);
  if (!handler) return { problem: `kind: ${noSuchKind(kind, [...registry.keys()])}`, field: "kind" };
  if (handler.broken) return { schedule: parsed.data };
  const taken = parseSent(handler.input, input ?? {});
  if (taken.success) return { schedule: parsed.data };
  return {
    problem: `input, as ${kind} reads it: ${describeIssues(taken.error, taken.value)}`,
    field: "input",
  };
}

/** Of the first mistake: the field of the schedule that it is in. */
function fieldOf({ issues: [first] }: z.ZodError): string | undefined {
  const [field] = [...(first?.path ?? []), ...(first?.code === "unrecognized_keys" ? first.keys : [])];
  return field === undefined ? undefined : String(field);
}

export const localTimezone = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

type When = Pick<Schedule, "cron" | "timezone">;

/**
 * A time that a change of clocks leaves out runs right after the gap, and one that comes twice runs once; what runs every few minutes
 * goes on every few minutes.
 */
const cronOf = (cron: string, timezone: string) =>
  new Cron(cron, { timezone, mode: "5-part", fixedTimeRule: "no-wildcard", paused: true });

/** The first time after `at` (epoch milliseconds, as the answer). Null if there is none. */
export const nextTime = ({ cron, timezone = localTimezone() }: When, at: number): number | null =>
  cronOf(cron, timezone).nextRun(new Date(at))?.getTime() ?? null;

/** The last time before `at`, or `at` itself. */
export function latestTime({ cron, timezone = localTimezone() }: When, at: number): number | null {
  // It asks for times before a moment, and moments have whole seconds.
  const end = new Date(Math.floor(at / 1_000) * 1_000 + 1_000);
  return cronOf(cron, timezone).previousRuns(1, end)[0]?.getTime() ?? null;
}

/** The same for every worker, so that two of them make one job. */
export const jobIdAt = (name: string, at: number): string =>
  `${name}-${new Date(at).toISOString().slice(0, 16)}Z`;
