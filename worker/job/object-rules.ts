// Uploaded objects as jobs: which events tell of an object that was created, and the rules that make a job of it. A rule has a
// prefix, a kind, and an input in which "$object" stands for the object's address.
import { z } from "zod";
import { KamadoError, shapeOf } from "../errors.ts";

/** One entry of the JSON array in the file that KAMADO_RULES_FILE names. */
export const ObjectRule = z.strictObject({
  bucket: z.string().optional().describe("Only objects in this bucket."),
  prefix: z.string().describe("Only keys that begin with this; the longest prefix wins."),
  suffix: z.string().optional().describe("Only keys that end with this."),
  kind: z.string().min(1),
  input: z.unknown().describe('The job\'s input; "$object" inside becomes s3://bucket/key.'),
  deliver: z.array(z.unknown()).optional(),
  policy: z.unknown().optional(),
});
export type ObjectRule = z.output<typeof ObjectRule>;

const Size = z
  .union([
    z.number(),
    z
      .string()
      .regex(/^\d{1,15}$/)
      .transform(Number),
  ])
  .nullish()
  .catch(null);
const Name = z.object({ name: z.string() });

/** What S3 sends, and what MinIO, Ceph and others send like it. */
const ObjectRecord = z.object({
  eventName: z.string().nullish(),
  eventSource: z.string().nullish().catch(null),
  s3: z.object({
    bucket: Name,
    object: z.object({ key: z.string(), size: Size, eTag: z.string().nullish().catch(null) }),
  }),
});
type ObjectRecord = z.output<typeof ObjectRecord>;

/** What S3 sends by way of EventBridge: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html */
const BridgedEvent = z.object({
  "detail-type": z.string(),
  detail: z.object({ bucket: Name, object: z.object({ key: z.string(), size: Size }) }),
});

export type RuleContext = {
  rules: readonly ObjectRule[];
  /** Throws when jobs may not read the object that an event tells of. */
  checkObject?: (address: { bucket: string; key: string }) => void;
  /** Which of the two keys that a record's key may stand for is meant. By default the decoded one. */
  chooseKey?: (choice: KeyChoice) => string;
};
export type KeyChoice = { bucket: string; decoded: string; written: string; etag: string | null };

/** The fields of a job, or why there is nothing to do. */
export type ObjectJob = { fields: Record<string, unknown> } | { ignored: string };

/** Of an object's address in an error. */
const SHOWN = 200;

/**
 * What becomes of one record of an S3 event. Throws `invalid_envelope`, `no_rule_for_object` when no rule matches, and what
 * `checkObject` throws.
 */
export function fromRecord(record: unknown, context: RuleContext): ObjectJob {
  const parsed = ObjectRecord.safeParse(record);
  if (!parsed.success)
    throw new KamadoError("invalid_envelope", `Records: ${shapeOf(record)} is no record of an S3 event.`);
  const { eventName, s3 } = parsed.data;
  if (!isCreation(eventName ?? "ObjectCreated")) return { ignored: `${eventName} creates no object` };
  return fromObject(s3.bucket.name, keyOf(parsed.data, context), s3.object.size, context);
}

/** The same for an event of S3 that came by way of EventBridge, where keys stand as they are. */
export function fromBridge(event: Record<string, unknown>, context: RuleContext): ObjectJob {
  const type = event["detail-type"];
  if (type === "AWS API Call via CloudTrail")
    throw new KamadoError(
      "invalid_envelope",
      'detail-type: calls that CloudTrail logs are not read; let the rule match S3\'s own "Object Created".',
    );
  if (type !== "Object Created") return { ignored: `${type} creates no object` };
  const parsed = BridgedEvent.safeParse(event);
  if (!parsed.success) throw new KamadoError("invalid_envelope", "detail: it names no object in a bucket.");
  const { bucket, object } = parsed.data.detail;
  return fromObject(bucket.name, object.key, object.size, context);
}

/** MinIO reports tags, retention and legal holds as creations too. */
const isCreation = (eventName: string): boolean =>
  /^(s3:)?ObjectCreated(:|$)/i.test(eventName) && !/tagging|retention|legalhold|acl/i.test(eventName);

function fromObject(
  bucket: string,
  key: string,
  size: number | null | undefined,
  { rules, checkObject }: RuleContext,
): ObjectJob {
  const address = `s3://${bucket}/${key}`;
  if (key.endsWith("/")) return { ignored: `${address.slice(0, SHOWN)} is a folder` };
  if (size === 0) return { ignored: `${address.slice(0, SHOWN)} is empty` };
  const rule = rules
    .filter(
      (one) =>
        (one.bucket ?? bucket) === bucket && key.startsWith(one.prefix) && key.endsWith(one.suffix ?? ""),
    )
    .toSorted((a, b) => b.prefix.length - a.prefix.length)[0];
  if (!rule)
    throw new KamadoError("no_rule_for_object", `No rule maps ${address.slice(0, SHOWN)} to a kind.`);
  checkObject?.({ bucket, key });
  const { kind, input, deliver, policy } = rule;
  return { fields: { kind, input: substitute(input, address), deliver, policy } };
}

/**
 * S3 and MinIO encode keys as forms do (https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html), Ceph and
 * older emulators do not. What S3 would have encoded shows that nothing was; a key of letters, `+` and `%41` may be either.
 */
function keyOf({ eventSource, s3: { bucket, object } }: ObjectRecord, { chooseKey }: RuleContext): string {
  const { key: written, eTag: etag } = object;
  const decoded = decodeKey(written);
  if (decoded === null || eventSource === "ceph:s3" || /[^!-~]/.test(written)) return written;
  if (decoded === written || eventSource === "minio:s3" || !chooseKey) return decoded;
  return chooseKey({ bucket: bucket.name, decoded, written, etag: etag ?? null });
}

function decodeKey(key: string): string | null {
  try {
    return decodeURIComponent(key.replaceAll("+", " "));
  } catch {
    return null;
  }
}

function substitute(value: unknown, address: string): unknown {
  if (value === "$object") return address;
  if (Array.isArray(value)) return value.map((one) => substitute(one, address));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, substitute(one, address)]));
}
