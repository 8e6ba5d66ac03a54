// One delivery in the outbox: the result, where it goes, and what is known of its tries. What travels is the message of
// the deliveries queue; what is too long for one lies in the bucket, and the message says where.
import { z } from "zod";
import { destinationKey, labelOf } from "../deliver/deliver.ts";
import { describeIssues, KamadoError } from "../errors.ts";
import { Destination, type Job, JobId } from "../job/envelope.ts";
import { Result } from "../job/result.ts";
import type { Undeliverable } from "../queue/dead-letter.ts";
import { addressOf, type Bucket, parseAddress } from "../storage/bucket.ts";
import type { Attempt } from "./delivery-log.ts";

const Moment = z.iso.datetime();

const DeliveryRecord = z.object({
  job: z.object({ id: JobId, kind: z.string() }),
  destination: Destination,
  /** Already cut to what a delivery carries. */
  result: Result,
  /** Only where the delivery needs it: a REST call is formed of input and output. */
  input: z.unknown().optional(),
  since: Moment.describe("When this round of tries began; three days later it ends."),
  tries: z.int().min(0).describe("Made in this round before it came here."),
  notBefore: Moment.describe("The first try from here."),
  failure: z
    .object({ at: Moment, code: z.string(), message: z.string() })
    .optional()
    .describe("Why it is here."),
});
export type DeliveryRecord = z.output<typeof DeliveryRecord>;

const Message = DeliveryRecord.partial({ result: true }).extend({
  type: z.literal("kamado.delivery"),
  version: z.literal(1),
  carried: z.string().optional().describe("s3:// address of result and input, when they are too long."),
  status: z.string().optional().describe("The result's, when it is carried."),
});
const Carried = DeliveryRecord.pick({ result: true, input: true });

/** Bytes. A queue takes 1 MiB; a dead letter needs room for its reason beside the same body. */
const BODY_LIMIT = 960 * 1024;
const CARRIED_LIMIT = 64 * 1024 * 1024;

export function packRecord(
  job: Job,
  destination: Destination,
  result: Result,
  at: { since: number; tries: number; notBefore: number },
): DeliveryRecord {
  return {
    job: { id: job.id, kind: job.kind },
    destination,
    result,
    ...("rest" in destination && { input: job.input }),
    since: iso(at.since),
    tries: at.tries,
    notBefore: iso(at.notBefore),
  };
}

export const iso = (at: number): string => new Date(at).toISOString();

/** The record as a message body, what is too long put into the bucket first. */
export async function writeRecord(record: DeliveryRecord, bucket: Bucket): Promise<string> {
  const mark = { type: "kamado.delivery", version: 1 } as const;
  const body = JSON.stringify({ ...mark, ...record });
  if (Buffer.byteLength(body) <= BODY_LIMIT) return body;
  const { result, input, ...rest } = record;
  // A job that failed and is sent back may succeed while its failure is still on its way.
  const name = `${destinationKey(record.destination)}-${result.status}`;
  const key = `outbox/${record.job.id}/${name}.json`;
  await bucket.put(key, JSON.stringify({ result, input }), { contentType: "application/json" });
  return JSON.stringify({ ...mark, ...rest, carried: addressOf(bucket, key), status: result.status });
}

/** Throws `invalid_envelope` for what is no record, and what reading the bucket throws. */
export async function readDeliveryRecord(body: string, bucket: Bucket): Promise<DeliveryRecord> {
  const { carried, type: _, version: __, status: ___, ...fields } = parse(Message, body);
  if (carried === undefined) return parse(DeliveryRecord, JSON.stringify(fields));
  const key = keyWithin(bucket, carried);
  if (key === null)
    throw new KamadoError("invalid_envelope", "carried: the address is not one of the outbox.");
  const { bytes } = await bucket.get(key, { maxBytes: CARRIED_LIMIT });
  return { ...fields, ...parse(Carried, new TextDecoder().decode(bytes)) };
}

/** Removes what lies in the bucket for a message that nobody needs any more. Throws what the bucket throws. */
export async function discardCarried(body: string, bucket: Bucket): Promise<void> {
  const key = keyWithin(bucket, peekRecord(body)?.carried);
  if (key !== null) await bucket.remove([key]);
}

/** What can be read of a record without the bucket, for showing it; null when it is none. */
export function peekRecord(body: string): z.output<typeof Message> | null {
  try {
    return parse(Message, body);
  } catch {
    return null;
  }
}

/**
 * The same for a new round of three days that begins now; a record, or its message. Never before the last round: on a
 * machine whose clock is behind, that round's tries would belong to this one too.
 */
export function renewRecord<P extends Pick<DeliveryRecord, "since">>(record: P, now: number) {
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
  // Its body begins a new round of tries, after the last try: whoever sends it back unchanged starts a new delivery.
  const body = await writeRecord(renewRecord(record, now + 1), bucket);
  return {
    body,
    group: null,
    attributes: { "first-at": record.since, receives: record.tries, receipt: record.result.receipt },
    history: tries.slice(-10).map(inShort),
    about: { job: record.job.id, to: labelOf(record.destination) },
  };
}

const inShort = ({ at, outcome, status, error }: Attempt) =>
  [at, outcome, error, status].filter((word) => word !== undefined).join(" ");

// A message that leads elsewhere was not written by us.
function keyWithin({ name }: Bucket, carried = ""): string | null {
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
