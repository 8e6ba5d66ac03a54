// Owns what makes two messages the same job: a hash of kind, input and, for an event, its source. Whoever asks for the result of
// an id must have sent the same job. Where a job's result goes and what its policy asks for do not count: a sender may send a job
// again with another destination. An object is hashed by its address, because a hash of its content would cost a fetch. Pure.
import { createHash } from "node:crypto";
import type { Job } from "./envelope.ts";
import type { Result } from "./result.ts";

/** SHA-256, hex. Equal for inputs that differ only in white space or in the order of their fields. */
export const jobHash = ({ kind, input, source }: Pick<Job, "kind" | "input" | "source">): string =>
  createHash("sha256")
    .update(canonical([kind, source ?? null, input]))
    .digest("hex");

type Hashed = Partial<Pick<Result, "jobHash">> & Pick<Result, "kind">;

/** Whether a stored result is this job's. An older version stored no hash; then the kind must do. */
export const belongsTo = (job: Hashed, { jobHash: stored, kind }: Hashed): boolean =>
  stored === undefined ? kind === job.kind : stored === job.jobHash;

export const isResultOf = (job: Job, result: Hashed): boolean =>
  belongsTo({ kind: job.kind, jobHash: jobHash(job) }, result);

/**
 * The value as JSON with sorted fields. It may call itself, because a body that is nested too deep is no job. A number that is too
 * large for JSON, such as 1e400, is not null.
 */
export function canonical(value: unknown): string {
  if (typeof value === "number") return String(value);
  if (typeof value !== "object" || value === null) return `${JSON.stringify(value)}`;
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  const fields = value as Record<string, unknown>;
  const names = Object.keys(fields).sort();
  return `{${names.map((name) => `${JSON.stringify(name)}:${canonical(fields[name])}`).join(",")}}`;
}
