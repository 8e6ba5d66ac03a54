// Owns what each entry makes of a job's row: its states, and which of two messages or attempts counts. Pure.
import type { Entry, KeptJob } from "./entries.ts";
import { hasEnded, type JobRow, type JobState } from "./job-row.ts";

/** A row as it is stored. `at`: when the job was first heard of, by which lists are ordered. */
export type Stored = JobRow & {
  at: number;
  runMs: number | null;
  replayOf: string | null;
  jobHash: string | null;
};

const SUMMARY = 160;
/** Of a message that is no job. */
const NO_KIND = "unknown";

/** The row after the entry; undefined when there is none. The same object when nothing changes. */
export function rowAfter(row: Stored | undefined, entry: Entry): Stored | undefined {
  switch (entry.is) {
    case "sent":
      return afterSent(row, entry);
    case "redriven":
      return (
        row && {
          ...row,
          state: "queued",
          isDeadLettered: false,
          receivedAt: null,
          startedAt: null,
          endedAt: null,
        }
      );
    case "received":
      return afterReceived(row, entry);
    case "started": {
      const { at: startedAt, attempt: attempts } = entry;
      return row && { ...row, state: "running", startedAt, attempts, endedAt: null, isDeadLettered: false };
    }
    case "stored":
      return row && !hasEnded(row.state) ? { ...row, state: "delivering" } : row;
    case "ended":
      return afterEnded(row, entry);
    default:
      return row;
  }
}

function fresh(id: string, at: number, state: JobState, job: KeptJob | null): Stored {
  return {
    id,
    at,
    state,
    kind: job?.kind ?? NO_KIND,
    tenant: job?.tenant ?? null,
    summary: job ? shorten(job.excerpt) : "",
    sentAt: null,
    receivedAt: null,
    startedAt: null,
    endedAt: null,
    attempts: 0,
    error: null,
    isDeadLettered: false,
    model: null,
    promptTokens: 0,
    completionTokens: 0,
    joules: null,
    runMs: null,
    replayOf: null,
    jobHash: null,
  };
}

const shorten = (text: string) =>
  text.length <= SUMMARY ? text : `${text.slice(0, SUMMARY - 1).replace(/[\ud800-\udbff]$/, "")}…`;

type Of<I extends Entry["is"]> = Extract<Entry, { is: I }>;

/** Its message may have been received before the sender heard that the queue has it. */
function afterSent(row: Stored | undefined, { id, at, job, jobHash, replayOf }: Of<"sent">): Stored {
  if (!row) return { ...fresh(id, at, "queued", job), sentAt: at, jobHash, replayOf };
  return {
    ...row,
    sentAt: row.sentAt ?? at,
    jobHash: row.jobHash ?? jobHash,
    replayOf: row.replayOf ?? replayOf,
  };
}

/** A second message of a job that runs or has ended changes nothing until it leads to a run. */
function afterReceived(
  row: Stored | undefined,
  { id, job, sentAt, receivedAt }: Of<"received">,
): Stored | undefined {
  if (!row)
    return job ? { ...fresh(id, sentAt ?? receivedAt, "waiting", job), sentAt, receivedAt } : undefined;
  if (row.state !== "queued" && row.state !== "retrying") return row;
  const tenant = row.tenant ?? job?.tenant ?? null;
  return {
    ...row,
    state: "waiting",
    tenant,
    sentAt: row.sentAt ?? sentAt,
    receivedAt: row.receivedAt ?? receivedAt,
  };
}

function afterEnded(row: Stored | undefined, entry: Of<"ended">): Stored | undefined {
  const { outcome, why, error, ending } = entry;
  // It says nothing of the job that has the id.
  if (error?.code === "duplicate_id" || why === "already_running" || outcome === "ignored") return row;
  const isOver = ending === "delete" || ending === "dead-lettered";
  if (isOver && outcome !== "retry" && outcome !== "interrupted") return over(row, entry);
  if (!row || hasEnded(row.state)) return row;
  if (outcome === "interrupted") return { ...row, state: "queued" };
  // What is stored is only delivered again.
  return { ...row, state: row.state === "delivering" ? "delivering" : "retrying", error: error ?? row.error };
}

function over(row: Stored | undefined, entry: Of<"ended">): Stored {
  const { at, id, kind, result, error, ending } = entry;
  const before = row ?? { ...fresh(id, at, "failed", null), kind: kind ?? NO_KIND };
  const receipt = result?.receipt;
  return {
    ...before,
    state: result?.status ?? "failed",
    // A result that was delivered again has ended before.
    endedAt: (row && hasEnded(row.state) && row.endedAt) || at,
    attempts: Math.max(before.attempts, receipt?.attempts ?? 0),
    error: result ? result.error : error,
    isDeadLettered: ending === "dead-lettered",
    model: receipt?.model ?? before.model,
    promptTokens: receipt?.promptTokens ?? before.promptTokens,
    completionTokens: receipt?.completionTokens ?? before.completionTokens,
    joules: receipt?.joules ?? before.joules,
    runMs: receipt?.runMs ?? before.runMs,
  };
}
