// Rules that make a job of an uploaded object: a prefix, a kind, and an input in which "$object" stands for the object's address.
import { z } from "zod";
import { KamadoError } from "../errors.ts";

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

const ObjectRecord = z.object({
  eventSource: z.string().optional(),
  s3: z.object({ bucket: z.object({ name: z.string() }), object: z.object({ key: z.string() }) }),
});

type ObjectCheck = (address: { bucket: string; key: string }) => void;

/** Of an object's address in an error. */
const SHOWN = 200;

/**
 * The fields of the job for one record of an S3 event. Throws `invalid_envelope`, `no_rule_for_object` when no rule matches, and what
 * `checkObject` throws.
 */
export function applyRules(
  record: unknown,
  { rules, checkObject }: { rules: readonly ObjectRule[]; checkObject?: ObjectCheck },
): Record<string, unknown> {
  const parsed = ObjectRecord.safeParse(record);
  if (!parsed.success)
    throw new KamadoError("invalid_envelope", "Records: these are not records of an S3 event.");
  const bucket = parsed.data.s3.bucket.name;
  const key = decodeKey(parsed.data.s3.object.key);
  const rule = rules
    .filter(
      (one) =>
        (one.bucket ?? bucket) === bucket && key.startsWith(one.prefix) && key.endsWith(one.suffix ?? ""),
    )
    .toSorted((a, b) => b.prefix.length - a.prefix.length)[0];
  const address = `s3://${bucket}/${key}`;
  if (!rule)
    throw new KamadoError("no_rule_for_object", `No rule maps ${address.slice(0, SHOWN)} to a kind.`);
  checkObject?.({ bucket, key });
  const { kind, input, deliver, policy } = rule;
  return {
    kind,
    input: substitute(input, address),
    ...(deliver !== undefined && { deliver }),
    ...(policy !== undefined && { policy }),
  };
}

// Keys in events are form-encoded: https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
function decodeKey(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll("+", " "));
  } catch {
    return key;
  }
}

function substitute(value: unknown, address: string): unknown {
  if (value === "$object") return address;
  if (Array.isArray(value)) return value.map((one) => substitute(one, address));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, substitute(one, address)]));
}
