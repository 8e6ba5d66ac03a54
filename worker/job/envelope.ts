// A job as a message body, in every form that is accepted. Pure: from text to a job, or to an error with a code.
import { z } from "zod";
import { describeIssues, KamadoError, shapeOf } from "../errors.ts";
import { type Budgets, budgetExceeded } from "./budgets.ts";
import { applyRules, type ObjectRule } from "./object-rules.ts";
import { excessOf } from "./structure.ts";

/** The id becomes part of object keys and log lines, so only characters that are safe in both are allowed. */
export const JobId = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/,
    "expected 1 to 128 letters, digits or . _ : - with a letter or digit first",
  );

const Sns = z.strictObject({ sns: z.string().startsWith("arn:").describe("A topic's ARN.") });
const Callback = z.strictObject({ callback: z.url().describe("Where the signed result is POSTed.") });
const Rest = z.strictObject({ rest: z.url().describe("A REST collection to which the result is applied.") });
const Sqs = z.strictObject({ sqs: z.url().describe("A queue's URL.") });

export const Destination = z.union([Sns, Callback, Rest, Sqs]).describe("Where a result goes.");
export type Destination = z.output<typeof Destination>;

/** As a worker wrote it into a delivery record; a newer one may have written more. */
export const StoredDestination = z.union([Sns.strip(), Callback.strip(), Rest.strip(), Sqs.strip()]);
/** It goes to the engine and into logs, so only what the names of models consist of is allowed. */
const ModelName = z
  .string()
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{M}\p{N} ._:@/+~(),=#-]{0,199}$/u,
    "expected 1 to 200 letters, digits, spaces or . _ : @ / + ~ ( ) , = # - with a letter or digit first",
  );

export const Policy = z.strictObject({
  expiresAt: z.iso
    .datetime({ offset: true })
    .optional()
    .describe("After this time the job is not started any more."),
  timeoutSeconds: z
    .number()
    .positive()
    .max(39_600)
    .optional()
    .describe("How long the job may run; 600 by default."),
  priority: z.int().min(0).max(9).optional().describe("0 to 9, higher first; 5 by default."),
  model: ModelName.optional().describe("The model to use; by default the engine's first."),
});

/** What any owner may allow; the budget of this worker is lower. */
const MAX_DESTINATIONS = 100;

export const Job = z.strictObject({
  id: JobId,
  kind: z.string().min(1).max(100),
  input: z.unknown(),
  deliver: z.array(Destination).max(MAX_DESTINATIONS).default([]),
  policy: Policy.default({}),
  source: z
    .string()
    .min(1)
    .max(2_000)
    .optional()
    .describe(
      "Where an event comes from, as in CloudEvents. The same id from another source is another job.",
    ),
});
export type Job = z.output<typeof Job>;

/** What a message body turns out to be. */
export type Parsed =
  | { is: "job"; job: Job }
  /** The body is in a bucket (a pointer of the SQS extended client): fetch it and parse it. */
  | { is: "pointer"; bucket: string; key: string }
  /** One message with several jobs (an S3 event with several records). */
  | { is: "several"; jobs: Job[] }
  /** Nothing to do: for example the test event that S3 sends when a notification is set up. */
  | { is: "nothing"; reason: string }
  | { is: "malformed"; error: KamadoError };

export type ParseContext = {
  messageId: string;
  rules: readonly ObjectRule[];
  /** Throws when jobs may not read the object that an event tells of. */
  checkObject?: (address: { bucket: string; key: string }) => void;
  /** For a body that is run, not only shown. What exceeds them is refused before any job is made of it. */
  budgets?: Pick<Budgets, "destinations" | "records">;
};

/** Reads a message body. Never throws: a body that is not a job is `malformed`, with the reason. */
export function parseBody(body: string, context: ParseContext): Parsed {
  try {
    return unwrap(parseJson(body), context, 0);
  } catch (thrown) {
    if (thrown instanceof KamadoError) return { is: "malformed", error: thrown };
    throw thrown;
  }
}

function parseJson(text: string): unknown {
  const excess = excessOf(text);
  if (excess !== null)
    throw new KamadoError(
      "invalid_envelope",
      `The body ${excess}. Send large data as an object in the bucket.`,
    );
  try {
    return JSON.parse(text);
  } catch {
    throw new KamadoError("malformed_json", `The body is not JSON: ${shapeOf(text)}.`);
  }
}

type Fields = Record<string, unknown>;
const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

// An SNS notification may contain any other form. Anything deeper is an attack.
const MAX_DEPTH = 3;

function unwrap(value: unknown, context: ParseContext, depth: number): Parsed {
  if (depth > MAX_DEPTH) throw new KamadoError("invalid_envelope", "The job is wrapped too deep.");
  const pointer = asPointer(value);
  if (pointer) return pointer;
  if (!isObject(value))
    throw new KamadoError("invalid_envelope", `A job is a JSON object; the body is ${shapeOf(value)}.`);
  if (value.Type === "Notification" && typeof value.Message === "string")
    return unwrap(parseJson(value.Message), context, depth + 1);
  if (value.Event === "s3:TestEvent") return { is: "nothing", reason: "S3 test event" };
  if (Array.isArray(value.Records)) return fromObjectEvent(value.Records, context);
  if (typeof value.specversion === "string") return { is: "job", job: check(fromCloudEvent(value), context) };
  return { is: "job", job: check(value, context) };
}

// https://github.com/awslabs/amazon-sqs-java-extended-client-lib: a two-element array, the class name and {s3BucketName, s3Key}.
function asPointer(value: unknown): Parsed | null {
  if (!Array.isArray(value) || value.length !== 2 || typeof value[0] !== "string" || !isObject(value[1]))
    return null;
  const { s3BucketName: bucket, s3Key: key } = value[1];
  return typeof bucket === "string" && typeof key === "string" ? { is: "pointer", bucket, key } : null;
}

// CloudEvents 1.0, structured JSON: `type` is the kind, `data` the input, and our other fields are extension attributes.
function fromCloudEvent(event: Fields): Fields {
  if (event.specversion !== "1.0")
    throw new KamadoError("invalid_envelope", "specversion: only CloudEvents 1.0 is understood.");
  const data =
    event.data ??
    (typeof event.data_base64 === "string"
      ? parseJson(Buffer.from(event.data_base64, "base64").toString())
      : undefined);
  const { deliver, policy, source } = event;
  return {
    id: event.id,
    kind: event.type,
    input: data,
    ...(deliver !== undefined && { deliver }),
    ...(policy !== undefined && { policy }),
    ...(typeof source === "string" && source !== "" && { source }),
  };
}

function fromObjectEvent(records: readonly unknown[], context: ParseContext): Parsed {
  const most = context.budgets?.records;
  if (most !== undefined && records.length > most) throw budgetExceeded("records", most, records.length);
  const jobs = records.map((record, index) => {
    const id = records.length === 1 ? context.messageId : `${context.messageId}.${index}`;
    return check({ id, ...applyRules(record, context) }, context);
  });
  const [only] = jobs;
  if (!only) return { is: "nothing", reason: "an event without records" };
  return jobs.length === 1 ? { is: "job", job: only } : { is: "several", jobs };
}

function check(fields: Fields, { messageId, budgets }: ParseContext): Job {
  const parsed = Job.safeParse({ ...fields, id: fields.id ?? messageId });
  if (parsed.success) return withinBudget(parsed.data, budgets?.destinations);
  throw new KamadoError("invalid_envelope", describeIssues(parsed.error, fields));
}

/** A job with too many destinations is no job for this worker: to tell them all of the failure would be what is refused. */
function withinBudget(job: Job, most: number | undefined): Job {
  const { length } = job.deliver;
  if (most !== undefined && length > most) throw budgetExceeded("destinations", most, length);
  return job;
}
