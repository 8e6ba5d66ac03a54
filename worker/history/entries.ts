// Owns what the history keeps of an event: plain data that is bounded and cheap to make, because it is made in the thread that runs jobs.
// What follows from it for a job's row is left to job-changes.ts. Pure.
import type { Job } from "../job/envelope.ts";
import type { Result } from "../job/result.ts";
import type { DeliveryTry, EventFacts, JobEvent } from "../logging/job-events.ts";
import type { JobError } from "./job-row.ts";

/** JSON of a value, or null with the reason why it is not kept. */
export type Kept = { json: string | null; note: string | null };

export type KeptJob = {
  kind: string;
  tenant: string | null;
  /** What can be found of the input, in one line. */
  excerpt: string;
  input: Kept;
  deliver: string;
  policy: string;
};

export type KeptResult = {
  status: Result["status"];
  error: JobError | null;
  excerpt: string;
  output: Kept;
  receipt: Result["receipt"];
};

export type Entry = { at: number; id: string } & (
  | { is: "sent"; job: KeptJob; jobHash: string; replayOf: string | null }
  /** Its dead letter was sent back to the queue. */
  | { is: "redriven" }
  | { is: "received"; job: KeptJob | null; sentAt: number | null; receivedAt: number }
  | { is: "started"; attempt: number }
  | { is: "inputs"; tookMs: number }
  | { is: "stored" }
  | { is: "delivery"; delivery: DeliveryTry }
  | {
      is: "ended";
      kind: string | null;
      outcome: string;
      why: string | null;
      ending: string;
      error: JobError | null;
      result: KeptResult | null;
    }
);

/** Characters of JSON. A picture inside an input may have more. */
const MAX_INPUT = 256 * 1024;
const MAX_OUTPUT = 256 * 1024;
/** Characters that a search looks at. */
const MAX_EXCERPT = 2_000;
const MAX_LEAF = 500;

/** Null for an event of which nothing is kept. */
export function entryOf(event: JobEvent, facts: EventFacts): Entry | null {
  const { at, job: id } = event;
  switch (event.stage) {
    case "received": {
      const { sentAt = null, receivedAt = at, tenant = null } = facts.message ?? {};
      return {
        is: "received",
        at,
        id,
        job: facts.job ? keptJob(facts.job, tenant) : null,
        sentAt,
        receivedAt,
      };
    }
    case "started":
      return { is: "started", at, id, attempt: event.attempt };
    case "inputs_fetched":
      return { is: "inputs", at, id, tookMs: event.tookMs };
    case "stored":
      return { is: "stored", at, id };
    case "delivered":
    case "delivery_failed":
      return facts.delivery ? { is: "delivery", at, id, delivery: facts.delivery } : null;
    case "ended": {
      const { kind = null, outcome, why = null, ending, error: code } = event;
      const error = facts.error ?? (code === undefined ? null : { code, message: code });
      const result = facts.result ? keptResult(facts.result) : null;
      return { is: "ended", at, id, kind, outcome, why, ending, error, result };
    }
    default:
      return null;
  }
}

/** When it ended there is not known. */
export function endedElsewhere(result: Result): Entry {
  const kept = keptResult(result);
  const about = {
    kind: result.kind,
    outcome: "ended elsewhere",
    why: null,
    ending: "delete",
    error: kept.error,
  };
  return { is: "ended", at: Date.now(), id: result.id, ...about, result: kept };
}

/** `tenant`: whom the job counts for, where its message names somebody and its policy does not. */
export function keptJob({ kind, input, deliver, policy }: Job, tenant: string | null = null): KeptJob {
  return {
    kind,
    tenant: policy.tenant ?? tenant,
    excerpt: excerptOf(input),
    input: kept(input, MAX_INPUT, "input"),
    deliver: JSON.stringify(deliver),
    policy: JSON.stringify(policy),
  };
}

function keptResult({ status, error, output, receipt }: Result): KeptResult {
  const shown = error && {
    code: error.code,
    message: error.message,
    ...(error.hint && { hint: error.hint }),
  };
  return {
    status,
    error: shown ?? null,
    excerpt: excerptOf(output),
    output: output === undefined ? { json: null, note: null } : kept(output, MAX_OUTPUT, "output"),
    receipt,
  };
}

function kept(value: unknown, max: number, name: string): Kept {
  const note = `The ${name} is longer than the ${max / 1024} KB that the history keeps.`;
  if (value === undefined || isLonger(value, max)) return { json: null, note };
  const json = JSON.stringify(value);
  return json.length > max ? { json: null, note } : { json, note: null };
}

/** Whether its JSON is longer; it stops as soon as that is certain. What JSON adds to the texts is estimated too low. */
function isLonger(value: unknown, max: number): boolean {
  let left = max;
  const count = (one: unknown, depth: number): void => {
    if (left < 0 || depth > MAX_DEPTH) left = -1;
    else if (typeof one === "string") left -= one.length + 2;
    else if (typeof one !== "object" || one === null) left -= 2;
    else
      for (const [name, inner] of Object.entries(one)) {
        left -= Array.isArray(one) ? 1 : name.length + 3;
        count(inner, depth + 1);
        if (left < 0) return;
      }
  };
  count(value, 0);
  return left < 0;
}

const MAX_DEPTH = 200;

/** The texts and numbers of a value in one line, cut. */
function excerptOf(value: unknown): string {
  let text = "";
  const add = (one: unknown, depth: number): void => {
    if (text.length >= MAX_EXCERPT || depth > MAX_DEPTH) return;
    if (typeof one === "string") text += `${leaf(one)} `;
    else if (typeof one === "number" || typeof one === "boolean") text += `${one} `;
    else if (typeof one === "object" && one !== null)
      for (const name in one) {
        add((one as Record<string, unknown>)[name], depth + 1);
        if (text.length >= MAX_EXCERPT) return;
      }
  };
  add(value, 0);
  return text.slice(0, MAX_EXCERPT).replaceAll(/\s+/g, " ").trim().toWellFormed();
}

/** Of a picture in the text only its type says something. */
const leaf = (text: string) =>
  text.startsWith("data:") ? `${text.slice(0, 40).split(",")[0]},…` : text.slice(0, MAX_LEAF);
