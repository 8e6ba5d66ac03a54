// Owns which objects jobs may read. Every way in asks here: the inputs of a job, pointers of the SQS extended client, and S3 events.
// Readable is what is below in/ in Kamado's own bucket, what the owner lists in KAMADO_BUCKETS, and what a rule for uploads begins
// with. What Kamado itself keeps in its bucket is never readable, whatever is listed. How an object is read is left to the bucket.
import { KamadoError } from "../errors.ts";
import type { Bucket, Buckets, Found, ObjectAddress } from "./bucket.ts";

/** Every key of a bucket that begins with `prefix`; all of them if it is empty. */
export type ObjectPrefix = { bucket: string; prefix: string };

export type ReadableObjects = {
  /** Throws `unsupported_address` for a key that no object can have, and `object_forbidden`. */
  check(address: ObjectAddress): void;
  /** Throws what `check` throws, and what `Bucket.get` throws. */
  get(address: ObjectAddress, options: { maxBytes: number; signal?: AbortSignal }): Promise<Found>;
};

/** Where inputs are uploaded to in Kamado's own bucket. */
const INPUTS = "in/";
/** What Kamado keeps for itself there: results of other jobs, locks, checkpoints, deliveries. */
const KEPT = [
  "results/",
  "running/",
  "checkpoints/",
  "cancel/",
  "deliveries/",
  "outbox/",
  "destinations/",
  "split/",
];

/** Which of them a prefix covers or lies in; undefined for one that has nothing to do with them. */
export const keptBelow = (prefix: string): string | undefined =>
  KEPT.find((kept) => kept.startsWith(prefix) || prefix.startsWith(kept));

/** S3's own limit, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1_024;
/** So many prefixes stand in an error. */
const SHOWN = 10;

export function createReadableObjects(options: {
  /** The bucket that Kamado keeps its own objects in. */
  own: string;
  /** All that may be read from at all, `own` among them. */
  buckets: Buckets<Pick<Bucket, "get">>;
  listed?: readonly ObjectPrefix[];
  /** A rule without a bucket counts for `own`. */
  rules?: readonly { bucket?: string | undefined; prefix: string }[];
}): ReadableObjects {
  const { own, buckets, listed = [], rules = [] } = options;
  const uploads = rules.map(({ bucket = own, prefix }) => ({ bucket, prefix }));
  const readable = [{ bucket: own, prefix: INPUTS }, ...listed, ...uploads];
  const isListed = ({ bucket, key }: ObjectAddress) =>
    readable.some((one) => one.bucket === bucket && key.startsWith(one.prefix));
  const isKept = ({ bucket, key }: ObjectAddress) =>
    bucket === own && KEPT.some((prefix) => key.startsWith(prefix));

  function find(address: ObjectAddress): Pick<Bucket, "get"> {
    const wrong = whatIsWrongWith(address.key);
    if (wrong) throw new KamadoError("unsupported_address", `the object's key ${wrong}.`);
    const bucket = buckets.get(address.bucket);
    if (bucket && isListed(address) && !isKept(address)) return bucket;
    throw new KamadoError("object_forbidden", forbidden(address, readable));
  }

  return {
    check: (address) => void find(address),
    get: async (address, how) => find(address).get(address.key, how),
  };
}

/** Why no object can have this key, or why stores and proxies do not agree on which one it is; null when it is a good one. */
function whatIsWrongWith(key: string): string | null {
  if (key === "") return "is empty";
  const bytes = Buffer.byteLength(key);
  if (bytes > MAX_KEY_BYTES) return `has ${bytes} bytes; a key has at most ${MAX_KEY_BYTES}`;
  if (!key.isWellFormed()) return "has half of a UTF-16 pair, which is no character";
  if (/\p{Cc}/u.test(key)) return "has control characters";
  if (/(^|\/)\.\.?(\/|$)/.test(key)) return 'has a part that is "." or ".."';
  return null;
}

function forbidden({ bucket }: ObjectAddress, readable: readonly ObjectPrefix[]): string {
  const shown = readable.slice(0, SHOWN).map((one) => `s3://${one.bucket}/${one.prefix}`);
  const more = readable.length > SHOWN ? ` and ${readable.length - SHOWN} more` : "";
  // A bucket's name has at most 63 characters; what a pointer calls one may be anything.
  const name = JSON.stringify(bucket.slice(0, 63));
  return `jobs may not read this object of the bucket ${name}; they may read what begins with ${shown.join(", ")}${more}.`;
}
