// A job as a message body, in every form that is accepted. Pure: from text to a job, or to an error with a code.
import { unzipSync } from "node:zlib";
import { z } from "zod";
import { describeIssues, KamadoError, shapeOf } from "../errors.ts";
import { type Budgets, budgetExceeded } from "./budgets.ts";
import { asStructured, fromCloudEvent, isCloudEvent } from "./cloud-event.ts";
import { faultOf, jsonText, parseJson, wellFormed } from "./json.ts";
import { MomentOrUnset } from "./moment.ts";
import { fromBridge, fromRecord, type ObjectJob, type RuleContext } from "./object-rules.ts";
import { parseSent } from "./parse-sent.ts";
import { refuseExcess } from "./structure.ts";
import { TenantName } from "./tenant.ts";
import { ofAttributes, readTraceContext, type TraceContext } from "./trace-context.ts";

/** The id becomes part of object keys and log lines, so only characters that are safe in both are allowed. */
export const JobId = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/,
    "expected 1 to 128 letters, digits or . _ : - with a letter or digit first",
  );

/** Characters. No server takes longer addresses, and the worker remembers those of thousands of destinations. */
const MAX_ADDRESS = 8_000;
const Address = z.url().max(MAX_ADDRESS);

const Sns = z.strictObject({
  sns: z.string().startsWith("arn:").max(MAX_ADDRESS).describe("A topic's ARN."),
});
const Callback = z.strictObject({ callback: Address.describe("Where the signed result is POSTed.") });
const Rest = z.strictObject({
  rest: Address.describe("A REST collection to which the result is applied."),
});
const Sqs = z.strictObject({ sqs: Address.describe("A queue's URL.") });

/** An address alone does not say what is to happen there, except the ARN of a topic. */
const asDestination = (value: unknown) =>
  typeof value === "string" && /^arn:[\w-]+:sns:/.test(value) ? { sns: value } : value;

export const Destination = z
  .preprocess(
    asDestination,
    z.union([Sns, Callback, Rest, Sqs], {
      error:
        'expected one of {"callback": "https://…"}, {"rest": "https://…"}, {"sqs": "https://…"}, {"sns": "arn:…"}',
    }),
  )
  .describe("Where a result goes.");
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
  expiresAt: MomentOrUnset.describe("After this time the job is not started any more."),
  // Go writes 0 for what is not set, and no job could run for so long.
  timeoutSeconds: z
    .preprocess((value) => (value === 0 ? undefined : value), z.number().positive().max(39_600).optional())
    .optional()
    .describe("How long the job may run; 600 by default."),
  priority: z.int().min(0).max(9).optional().describe("0 to 9, higher first; 5 by default."),
  model: ModelName.optional().describe("The model to use; by default the engine's first."),
  tenant: TenantName.optional().describe(
    "Whose job it is. Tenants share the slots fairly, whatever each has sent.",
  ),
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
  traceparent: z
    .string()
    .optional()
    .describe("The trace of the sender, in the form of W3C trace context; what is not valid has no effect."),
  tracestate: z.string().optional().describe("What belongs to it."),
});
export type Job = z.output<typeof Job>;

/** What a message body turns out to be. */
export type Parsed =
  | { is: "job"; job: Job }
  /** The body is in a bucket (a pointer of the SQS extended client): fetch it and parse it. */
  | { is: "pointer"; bucket: string; key: string }
  /** One message with several jobs (an S3 event with several records, a batch of CloudEvents). Each stands for itself. */
  | { is: "several"; jobs: Job[]; refused: Refused[]; ignored: string[] }
  /** Nothing to do: for example the test event that S3 sends when a notification is set up. */
  | { is: "nothing"; reason: string }
  | { is: "malformed"; error: KamadoError };

/** One of several that is no job: the message that it would have been alone, with the id that this message would have. */
export type Refused = { id: string; body: string; error: KamadoError };

export type ParseContext = RuleContext & {
  messageId: string;
  /** For a body that is run, not only shown. What exceeds them is refused before any job is made of it. */
  budgets?: Pick<Budgets, "destinations" | "records">;
  /** That of the message. What the body itself names counts before it. */
  trace?: TraceContext | undefined;
};

/** Reads a message body. Never throws: a body that is not a job is `malformed`, with the reason. */
export function parseBody(body: string, context: ParseContext): Parsed {
  try {
    return fromText(body, context, 0);
  } catch (thrown) {
    if (thrown instanceof KamadoError) return { is: "malformed", error: thrown };
    throw thrown;
  }
}

type Fields = Record<string, unknown>;
const isObject = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

// An SNS notification may contain any other form. Anything deeper is an attack.
const MAX_DEPTH = 3;

function fromText(text: string, context: ParseContext, depth: number): Parsed {
  if (depth > MAX_DEPTH) throw new KamadoError("invalid_envelope", "The job is wrapped too deep.");
  refuseExcess(text);
  const value = jsonIn(text);
  const inner = typeof value === "string" ? innerText(value) : null;
  return inner === null ? unwrap(value, context, depth) : fromText(inner, context, depth + 1);
}

/** The JSON that a string holds, as it is or in base64. */
function innerText(text: string): string | null {
  if (STRUCTURE.test(text)) return text;
  const decoded = decodedBase64(text.trim());
  return decoded !== null && STRUCTURE.test(decoded) ? decoded : null;
}

const STRUCTURE = /^[\ufeff\s]*[[{"]/;
/** Of a body that was compressed. Bytes. */
const MAX_UNPACKED = 16 * 1024 * 1024;
const BASE64 = /^[A-Za-z0-9+/_\r\n-]+={0,2}$/;

/** The value of a JSON text. One that is base64 holds it as a string: no JSON structure looks like base64, so there is no doubt. */
function jsonIn(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    const decoded = STRUCTURE.test(text) ? null : innerText(text);
    if (decoded !== null) return decoded;
    throw new KamadoError("malformed_json", `The body is not JSON: ${faultOf(text)}${shapeOf(text)}.`);
  }
}

/** Null for what is no text in base64. Some senders compress what is too long for the queue. */
function decodedBase64(text: string): string | null {
  if (!BASE64.test(text)) return null;
  try {
    const bytes = Buffer.from(text, "base64");
    // gzip and zlib.
    const isPacked = (bytes[0] === 0x1f && bytes[1] === 0x8b) || bytes[0] === 0x78;
    return jsonText(isPacked ? unzipSync(bytes, { maxOutputLength: MAX_UNPACKED }) : bytes);
  } catch {
    return null;
  }
}

function unwrap(value: unknown, context: ParseContext, depth: number): Parsed {
  if (depth > MAX_DEPTH) throw new KamadoError("invalid_envelope", "The job is wrapped too deep.");
  const pointer = asPointer(value);
  if (pointer) return pointer;
  if (Array.isArray(value) && isTyped(value)) return unwrap(value[1], context, depth + 1);
  if (Array.isArray(value) && value.some(isForm))
    return eachOf(value, context, (one, own) => unwrap(one, own, depth + 1));
  if (!isObject(value))
    throw new KamadoError("invalid_envelope", `A job is a JSON object; the body is ${shapeOf(value)}.`);
  if (isNotification(value))
    return fromForwarded(
      { text: String(value.Message), attributes: value.MessageAttributes },
      context,
      depth,
    );
  if (value.Type === "SubscriptionConfirmation")
    throw new KamadoError(
      "invalid_envelope",
      "SNS asks to confirm a subscription: open its SubscribeURL once.",
    );
  if (value.Type === "UnsubscribeConfirmation")
    return { is: "nothing", reason: "SNS confirms that a subscription ended" };
  if (value.Event === "s3:TestEvent") return { is: "nothing", reason: "S3 test event" };
  if (Array.isArray(value.Records))
    return eachOf(value.Records, context, (one, own) => ofRecord(one, own, depth), asRecord);
  if (isObjectRecord(value)) return ofRecord(value, context, depth);
  if (isCloudEvent(value)) return { is: "job", job: check(fromCloudEvent(value), context) };
  if (isBridged(value)) return fromEventBridge(value, context, depth);
  if (isDestinationRecord(value)) return ofPart(value.responsePayload, "responsePayload", context, depth);
  const message = forwardedMessage(value);
  if (message !== null) return fromForwarded(message, context, depth);
  const inner = kombuBody(value);
  if (inner !== null) return fromText(inner, context, depth + 1);
  return { is: "job", job: check(value, context) };
}

/** Whether an entry of a list is a message of its own. */
const isForm = (one: unknown): boolean =>
  isObject(one) &&
  (typeof one.kind === "string" ||
    isCloudEvent(one) ||
    isNotification(one) ||
    isBridged(one) ||
    isDestinationRecord(one) ||
    isObjectRecord(one) ||
    forwardedMessage(one) !== null);

/** Java's Jackson can write the name of a class before each object. */
const isTyped = (list: readonly unknown[]): boolean =>
  list.length === 2 && typeof list[0] === "string" && isForm(list[1]);

/** A record of S3 that somebody took out of its event. */
const isObjectRecord = ({ eventSource, s3 }: Fields): boolean =>
  typeof eventSource === "string" && isObject(s3);

const isNotification = ({ Type, Message }: Fields): boolean =>
  Type === "Notification" && typeof Message === "string";

/** What a Lambda that was called asynchronously returned, as it comes to the queue of its destination. */
const isDestinationRecord = ({ requestContext, responsePayload }: Fields): boolean =>
  isObject(requestContext) && responsePayload !== undefined;

function ofRecord(record: unknown, context: ParseContext, depth: number): Parsed {
  const message = isObject(record) ? forwardedMessage(record) : null;
  if (message !== null) return fromForwarded(message, context, depth);
  return fromObjectJob(fromRecord(record, context), context);
}

/** The message in a record of SQS or SNS, as EventBridge Pipes and Lambda hand it on; null for anything else. */
function forwardedMessage(record: Fields): Forwarded | null {
  const { eventSource, EventSource, body, messageAttributes, attributes, Sns } = record;
  if (eventSource === "aws:sqs" && typeof body === "string")
    return { text: body, attributes: messageAttributes, system: attributes };
  if (EventSource !== "aws:sns" || !isObject(Sns) || typeof Sns.Message !== "string") return null;
  return { text: Sns.Message, attributes: Sns.MessageAttributes };
}

/** `system`: the attributes that SQS itself gives. */
type Forwarded = { text: string; attributes: unknown; system?: unknown };

/** A CloudEvent in binary mode has its attributes beside it, and so has a trace. */
function fromForwarded(
  { text, attributes, system }: Forwarded,
  context: ParseContext,
  depth: number,
): Parsed {
  const texts = textsOf(attributes);
  const header = isObject(system) ? system.AWSTraceHeader : undefined;
  const trace = ofAttributes({ ...texts, ...(typeof header === "string" && { AWSTraceHeader: header }) });
  return fromText(
    asStructured(text, texts) ?? text,
    { ...context, trace: trace ?? context.trace },
    depth + 1,
  );
}

function textsOf(attributes: unknown): Record<string, string> {
  if (!isObject(attributes)) return {};
  const texts = Object.entries(attributes).flatMap(([name, one]) => {
    const text = isObject(one) ? attributeText(one) : undefined;
    return text === undefined ? [] : [[name, text] as const];
  });
  return Object.fromEntries(texts);
}

/** As SNS writes an attribute, and as Lambda writes one of SQS. Bytes are in base64. */
function attributeText({ Type, Value, stringValue, binaryValue }: Fields): string | undefined {
  const bytes = Type === "Binary" ? Value : binaryValue;
  if (typeof bytes === "string") return Buffer.from(bytes, "base64").toString();
  return [Value, stringValue].find((one) => typeof one === "string") as string | undefined;
}

/**
 * What extended clients put in place of a body: a list of a class name and an object
 * (https://github.com/awslabs/amazon-sqs-java-extended-client-lib), the object alone, or one with other names (npm's
 * sns-sqs-big-payload, Go's hefty).
 */
function asPointer(value: unknown): Parsed | null {
  const isList = Array.isArray(value) && value.length === 2 && typeof value[0] === "string";
  const fields: unknown = isList ? value[1] : value;
  if (!isObject(fields) || "kind" in fields || isCloudEvent(fields)) return null;
  const names = isObject(fields.S3Payload) ? fields.S3Payload : fields;
  const of = (name: RegExp) => Object.entries(names).find(([one]) => name.test(one))?.[1];
  const isOther = names !== fields;
  const bucket = of(isOther ? /^bucket$/i : /^s3_?bucket(_?name)?$/i);
  const key = of(isOther ? /^key$/i : /^s3_?key$/i);
  return typeof bucket === "string" && typeof key === "string" ? { is: "pointer", bucket, key } : null;
}

const isBridged = ({ "detail-type": type, source, detail }: Fields): boolean =>
  typeof type === "string" && typeof source === "string" && (isObject(detail) || typeof detail === "string");

/** An event of EventBridge tells of an object in S3, or its detail is a job that somebody put there. */
function fromEventBridge(event: Fields, context: ParseContext, depth: number): Parsed {
  const { source, detail } = event;
  if (source === "aws.s3") return fromObjectJob(fromBridge(event, context), context);
  return ofPart(detail, "detail", context, depth);
}

/** A part of an event that may hold a job, as an object or as a string of JSON. */
function ofPart(part: unknown, name: string, context: ParseContext, depth: number): Parsed {
  if (typeof part === "string" && STRUCTURE.test(part)) return fromText(part, context, depth + 1);
  if (isForm(part) || (Array.isArray(part) && part.some(isForm))) return unwrap(part, context, depth + 1);
  throw new KamadoError("invalid_envelope", `${name}: the event holds no job there.`);
}

const fromObjectJob = (found: ObjectJob, context: ParseContext): Parsed =>
  "ignored" in found
    ? { is: "nothing", reason: found.ignored }
    : { is: "job", job: check(found.fields, context) };

/** Python's kombu, which Celery sends with: the body is base64 in an object that says so. */
function kombuBody({ body, properties }: Fields): string | null {
  const isOne = isObject(properties) && properties.body_encoding === "base64" && typeof body === "string";
  return isOne ? Buffer.from(body, "base64").toString() : null;
}

type Read = (one: unknown, context: ParseContext) => Parsed;
const asRecord = (record: unknown) => ({ Records: [record] });

/** Each becomes a job, is ignored, or is refused, whatever the others are. `alone` forms the message that one of them would be. */
function eachOf(
  all: readonly unknown[],
  context: ParseContext,
  read: Read,
  alone: (one: unknown) => unknown = (one) => one,
): Parsed {
  checkCount(all.length, context);
  if (all.length === 0) return { is: "nothing", reason: "an event without records" };
  if (all.length === 1) return read(all[0], context);
  const several: Several = { is: "several", jobs: [], refused: [], ignored: [] };
  for (const [index, one] of all.entries()) {
    const id = `${context.messageId}.${index}`;
    try {
      add(read(one, { ...context, messageId: id }), several);
    } catch (thrown) {
      if (!(thrown instanceof KamadoError) || thrown.code === "budget_exceeded") throw thrown;
      several.refused.push({ id, body: JSON.stringify(alone(one)), error: thrown });
    }
  }
  const { jobs, refused, ignored } = several;
  checkCount(jobs.length + refused.length, context);
  return jobs.length + refused.length === 0 ? { is: "nothing", reason: summaryOf(ignored) } : several;
}

type Several = Extract<Parsed, { is: "several" }>;

function add(found: Parsed, { jobs, refused, ignored }: Several): void {
  if (found.is === "job") jobs.push(found.job);
  else if (found.is === "nothing") ignored.push(found.reason);
  else if (found.is === "several") {
    jobs.push(...found.jobs);
    refused.push(...found.refused);
    ignored.push(...found.ignored);
  }
  // To follow it would take a call for each. As a dead letter it is a message of its own, which can be sent back.
  else
    throw new KamadoError("invalid_envelope", "A pointer to the bucket must come in a message of its own.");
}

function checkCount(count: number, { budgets }: ParseContext): void {
  const most = budgets?.records;
  if (most !== undefined && count > most) throw budgetExceeded("records", most, count);
}

/** Of reasons in a log line. */
const MAX_REASONS = 5;

/** The reasons, each once. */
export function summaryOf(reasons: readonly string[]): string {
  const all = [...new Set(reasons)];
  const more = all.length > MAX_REASONS ? ` and ${all.length - MAX_REASONS} more` : "";
  return `${all.slice(0, MAX_REASONS).join("; ")}${more}`;
}

function check(fields: Fields, { messageId, budgets, trace }: ParseContext): Job {
  // Go writes "" for what is not set.
  const id = fields.id === "" ? null : (fields.id ?? null);
  // Typed senders number their jobs. A number that was rounded never comes here: parseJson keeps its digits.
  const given = Number.isInteger(id) && Math.abs(id as number) < 1e21 ? String(BigInt(id as number)) : id;
  const parsed = parseSent(Job, { ...fields, input: wellFormed(fields.input), id: given ?? messageId });
  if (parsed.success) return withTrace(withinBudget(parsed.data, budgets?.destinations), trace);
  throw new KamadoError("invalid_envelope", describeIssues(parsed.error, parsed.value));
}

/** One that is not valid stays as it is, so that it can be said. */
function withTrace(job: Job, ofMessage: TraceContext | undefined): Job {
  const trace = readTraceContext(job) ?? ofMessage;
  if (!trace) return job;
  const { traceparent: _, tracestate: __, ...rest } = job;
  return { ...rest, ...trace };
}

/** A job with too many destinations is no job for this worker: to tell them all of the failure would be what is refused. */
function withinBudget(job: Job, most: number | undefined): Job {
  const { length } = job.deliver;
  if (most !== undefined && length > most) throw budgetExceeded("destinations", most, length);
  return job;
}
