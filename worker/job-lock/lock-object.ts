// What stands in running/<id>.json: who runs the job, for how long that holds without another word, and how often the
// engine died meanwhile. Pure; taking, keeping and giving up a lock is in locks.ts.
import { z } from "zod";
import { KamadoError, toKamadoError } from "../errors.ts";
import type { Blobs, Condition, Found, ObjectAddress } from "../storage/bucket.ts";
import { NO_DEATHS } from "./engine-deaths.ts";

const Count = z.int().min(0);
const Deaths = z.object({ beside: Count, alone: Count });
const LockRecord = z.object({
  worker: z.string(),
  /** Of this one attempt: no two are the same. */
  token: z.string(),
  /** Counts the heartbeats, so that each write differs from the one before. */
  beat: Count,
  /** The lock holds for so long after its last write; 0: nobody runs the job. */
  holdMs: Count,
  deaths: Deaths,
});
export type LockRecord = z.output<typeof LockRecord>;

export const MARKERS = "running/";
export const lockKey = (id: string) => `${MARKERS}${id}.json`;

/** Stores tell an object's time in whole seconds, once when it is written and once when it is read. */
const COARSE_MS = 2_000;

/** What is no record of ours holds nothing. */
export function readRecord(bytes: Uint8Array): LockRecord {
  try {
    return LockRecord.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch {
    return { worker: "", token: "", beat: 0, holdMs: 0, deaths: NO_DEATHS };
  }
}

/** How long a lock still holds; 0 when it may be taken over. Both times are the store's, so no machine's clock matters. */
export function holdsForMs({ holdMs }: LockRecord, { ageMs }: Pick<Found, "ageMs">): number {
  return holdMs === 0 ? 0 : Math.max(0, holdMs + COARSE_MS - ageMs);
}

// Reading and writing the object that is a lock. What the store refuses is the worker's own rights on its own bucket:
// not the sender's fault and not for ever.
const RECORD_LIMIT = 64 * 1024;

export type StandingLock = Pick<Found, "etag" | "ageMs"> & { record: LockRecord };

/** The lock that stands there; null when there is none. Throws `storage_unavailable`. */
export async function readLock(blobs: Blobs, address: ObjectAddress): Promise<StandingLock | null> {
  try {
    const { bytes, etag, ageMs } = await blobs.get(address, { maxBytes: RECORD_LIMIT });
    return { record: readRecord(bytes), etag, ageMs };
  } catch (thrown) {
    if (thrown instanceof KamadoError && thrown.code === "object_not_found") return null;
    throw unavailable(thrown);
  }
}

/** The new etag; null when the condition does not hold. Without one it is written in any case, and has no etag. Throws `storage_unavailable`. */
export async function writeLock(
  blobs: Blobs,
  address: ObjectAddress,
  record: LockRecord,
  condition: Condition | null,
): Promise<string | null> {
  try {
    if (condition === null) {
      await blobs.put(address, JSON.stringify(record), { contentType: "application/json" });
      return "";
    }
    const etag = await blobs.putIf(address, JSON.stringify(record), condition);
    if (etag !== null) return etag;
    // Refused though it stands there: the answer to the write was lost on its way, and the SDK sent it again.
    const found = await readLock(blobs, address);
    const isOurs = found?.record.token === record.token && found.record.beat === record.beat;
    return isOurs ? found.etag : null;
  } catch (thrown) {
    throw unavailable(thrown);
  }
}

function unavailable(thrown: unknown): unknown {
  if (!(thrown instanceof KamadoError) || thrown.code === "storage_unavailable") return thrown;
  return new KamadoError(
    "storage_unavailable",
    `The worker may not use running/ of its bucket: ${thrown.message}`,
    { cause: thrown },
  );
}

// Whether the store keeps conditions on writes, found out at an object of its own.
/** False where it takes a conditional write for a plain one, or refuses it. Throws `storage_unavailable`, `object_forbidden`. */
export async function keepsConditions(blobs: Blobs, probe: ObjectAddress): Promise<boolean> {
  const isKept = async (condition: Condition) => (await blobs.putIf(probe, "{}", condition)) === null;
  try {
    // The first write may be the one that makes it.
    const isThere = (await isKept("absent")) || (await isKept("absent"));
    return isThere && (await isKept({ etag: '"of no object"' }));
  } catch (thrown) {
    if (toKamadoError(thrown, "storage_unavailable").detail?.supportsConditions !== false) throw thrown;
    // A store that refuses this too is out of order, and that says nothing about conditions.
    await blobs.put(probe, "{}", { contentType: "application/json" });
    return false;
  }
}
