// Owns what makes two messages the same job: a hash of kind, input and, for an event, its source. Whoever asks for the result of
// an id must have sent the same job. Where a job's result goes and what its policy asks for do not count: a sender may send a job
// again with another destination. An object is hashed by its address, because a hash of its content would cost a fetch. Pure.
import { createHash } from "node:crypto";
import type { Job } from "./envelope.ts";
import type { Result } from "./result.ts";

/** How much text is given to the hash at a time. */
const PIECE = 16 * 1024;

/** SHA-256, hex. Equal for inputs that differ only in white space or in the order of their fields. */
export function jobHash({ kind, input, source }: Pick<Job, "kind" | "input" | "source">): string {
  const hash = createHash("sha256");
  let piece = "";
  for (const text of canonical([kind, source ?? null, input])) {
    piece += text;
    if (piece.length < PIECE) continue;
    hash.update(piece);
    piece = "";
  }
  return hash.update(piece).digest("hex");
}

/** Whether a stored result is this job's. An older version stored no hash; then the kind must do. */
export const isResultOf = (job: Job, { jobHash: stored, kind }: Pick<Result, "jobHash" | "kind">): boolean =>
  stored === undefined ? kind === job.kind : stored === jobHash(job);

/** The value as JSON with sorted fields. Without recursion, because an input may be nested deeper than the stack allows. */
function* canonical(value: object): Generator<string> {
  const open = [partsOf(value)];
  for (let inner = open.at(-1); inner; inner = open.at(-1)) {
    const { done, value: part } = inner.next();
    if (done) open.pop();
    else if (typeof part === "string") yield part;
    else open.push(partsOf(part));
  }
}

/** Text, and the objects and arrays that belong between it. */
function* partsOf(value: object): Generator<string | object> {
  const isArray = Array.isArray(value);
  yield isArray ? "[" : "{";
  for (const name of isArray ? value.keys() : Object.keys(value).sort()) {
    if (!isArray) yield `${JSON.stringify(name)}:`;
    const one: unknown = (value as Record<PropertyKey, unknown>)[name];
    yield typeof one === "object" && one !== null ? one : `${JSON.stringify(one)}`;
    yield ",";
  }
  yield isArray ? "]" : "}";
}
