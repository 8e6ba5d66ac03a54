// A delivery record: one result for one destination, and what is known of its tries. It is the body of a message in the queue
// of the outbox. A result that is too long for a message is stored under outbox/ in the bucket, and the message has its address.
import { z } from "zod";
import { destinationKey, labelOf } from "../deliver/deliver.ts";
import { describeIssues, KamadoError } from "../errors.ts";
import { type Destination, type Job, JobId, StoredDestination } from "../job/envelope.ts";
import { eventOf, Result } from "../job/result.ts";
import { readTraceContext } from "../job/trace-context.ts";
import type { Undeliverable } from "../queue/dead-letter.ts";
import { addressOf, type Bucket, parseAddress } from "../storage/bucket.ts";
import { readStored } from "../storage/stored-json.ts";
import type { Attempt } from "./delivery-log.ts";

const Moment = z.iso.datetime();

const DeliveryRecord = z.object({
  job: z.object({ id: JobId, kind: z.string() }),
  destination: StoredDestination,
  /** Already cut to what a delivery carries. */
  result: Result,
  /** Only for a REST call, which is formed from input and output. */
  input: z.unknown().optional(),
  trace: z
    .object({ traceparent: z.string(), tracestate: z.string().optional() })
    .optional()
    .catch(undefined)
    .describe("In which every try goes on."),
  since: Moment.describe("When this round of tries began; it ends three days later."),
  tries: z.int().min(0).describe("Made in this round before the record was written."),
  notBefore: Moment.describe("When the next try is due."),
  failure: z
    .object({ at: Moment, code: z.string(), message: z.string() })
    .optional()
    .catch(undefined)
    .describe("The error of the last try."),
});
export type DeliveryRecord = z.output<typeof DeliveryRecord>;

const Message = DeliveryRecord.partial({ result: true }).extend({
  type: z.literal("kamado.delivery"),
  version: z.literal(1),
  carried: z.string().optional().describe("The s3:// address of result and input, when they are too long."),
  status: z
    .string()
    .optional()
    .describe("What `eventOf` says of the result, when the result is in the bucket."),
});
const Carried = DeliveryRecord.pick({ result: true, input: true });

/** Bytes. A queue takes 1 MiB, and a dead letter needs room for its attributes beside the same body. */
export const BODY_LIMIT = 960 * 1024;
const CARRIED_LIMIT = 64 * 1024 * 1024;

export function newRecord(
  job: Job,
  destination: Destination,
  result: Result,
  at: { since: number; tries: number; notBefore: number },
): DeliveryRecord {
  const trace = readTraceContext(job);
  return {
    job: { id: job.id, kind: job.kind },
    destination,
    result,
    ...("rest" in destination && { input: job.input }),
    ...(trace && { trace }),
    since: iso(at.since),
    tries: at.tries,
    notBefore: iso(at.notBefore),
  };
}

export const iso = (at: number): string => new Date(at).toISOString();

/** The record as a message body. Writes to the bucket first what is too long for one. */
export async function writeRecord(record: DeliveryRecord, bucket: Bucket): Promise<string> {
  const header = { type: "kamado.delivery", version: 1 } as const;
  const body = JSON.stringify({ ...header, ...record });
  if (Buffer.byteLength(body) <= BODY_LIMIT) return body;
  const { result, input, ...rest } = record;
  // A job that is sent back may succeed while the delivery of its failure is still waiting.
  const name = `${destinationKey(record.destination)}-${eventOf(result)}`;
  const key = `outbox/${record.job.id}/${name}.json`;
  await bucket.put(key, JSON.stringify({ result, input }), { contentType: "application/json" });
  return JSON.stringify({ ...header, ...rest, carried: addressOf(bucket, key), status: eventOf(result) });
}

/** Throws `invalid_envelope` for a body that is no record, and what the bucket throws. */
export async function readDeliveryRecord(body: string, bucket: Bucket): Promise<DeliveryRecord> {
  const { carried, type: _, version: __, status: ___, ...fields } = parse(Message, body);
  if (carried === undefined) return parse(DeliveryRecord, JSON.stringify(fields));
  const key = keyOf(bucket, carried);
  if (key === null) throw new KamadoError("invalid_envelope", "carried: the address is not below outbox/.");
  const stored = await readStored(bucket, key, Carried, { maxBytes: CARRIED_LIMIT });
  if (stored.is === "found") return { ...fields, ...stored.value };
  if (stored.is === "absent")
    throw new KamadoError("object_not_found", `${carried}: there is no such object.`);
  throw new KamadoError("invalid_envelope", `${carried}: ${stored.why}.`);
}

/** What a record says without the bucket; null when the body is no record. */
export function peekRecord(body: string): z.output<typeof Message> | null {
  try {
    return parse(Message, body);
  } catch {
    return null;
  }
}

/** Removes what is stored in the bucket for a message that is no longer needed. Throws what the bucket throws. */
export async function discardCarried(body: string, bucket: Bucket): Promise<void> {
  const key = keyOf(bucket, peekRecord(body)?.carried);
  if (key !== null) await bucket.remove([key]);
}

/**
 * The record, or its message, with a new round of three days. The round begins now, but not before the last one: if this
 * machine's clock is behind, the last round's tries would otherwise count for the new one.
 */
export function renewRecord<R extends Pick<DeliveryRecord, "since">>(record: R, now: number) {
  const since = iso(Math.max(now, Date.parse(record.since)));
  return { ...record, since, notBefore: since, tries: 0 };
}

/** The delivery as a dead letter; `tries` are those that the delivery log knows. */
export async function asDeadLetter(
  record: DeliveryRecord,
  tries: readonly Attempt[],
  bucket: Bucket,
  now: number,
): Promise<Undeliverable> {
  // The body is a new round that begins after the last try, so sending it back unchanged starts a new delivery.
  const body = await writeRecord(renewRecord(record, now + 1), bucket);
  return {
    body,
    group: null,
    attributes: { "first-at": record.since, receives: record.tries, receipt: record.result.receipt },
    history: tries.slice(-10).map(summaryOf),
    about: { job: record.job.id, to: labelOf(record.destination) },
  };
}

const summaryOf = ({ at, outcome, status, error }: Attempt) =>
  [at, outcome, error, status].filter((word) => word !== undefined).join(" ");

// A message with any other address was not written by us.
function keyOf({ name }: Bucket, carried = ""): string | null {
  const address = parseAddress(carried);
  return address?.bucket === name && address.key.startsWith("outbox/") ? address.key : null;
}

function parse<T>(schema: z.ZodType<T>, text: string): T {
  try {
    const value: unknown = JSON.parse(text);
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    throw new KamadoError("invalid_envelope", `A delivery's message: ${describeIssues(parsed.error, value)}`);
  } catch (thrown) {
    if (thrown instanceof KamadoError) throw thrown;
    throw new KamadoError("invalid_envelope", "A delivery's message is not JSON.", { cause: thrown });
  }
}
