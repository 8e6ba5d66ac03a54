// Reading and writing the object that is a marker. What the store refuses is the worker's own rights on its own bucket:
// not the sender's fault and not for ever.
import type { Blobs, Condition, Found, ObjectAddress } from "../blobs/blobs.ts";
import { KamadoError } from "../errors.ts";
import { type MarkerRecord, readRecord } from "./marker-record.ts";

const RECORD_LIMIT = 64 * 1024;

export type StandingMarker = Pick<Found, "etag" | "ageMs"> & { record: MarkerRecord };

/** The marker that stands there; null when there is none. Throws `storage_unavailable`. */
export async function readMarker(blobs: Blobs, address: ObjectAddress): Promise<StandingMarker | null> {
  try {
    const { bytes, etag, ageMs } = await blobs.get(address, { maxBytes: RECORD_LIMIT });
    return { record: readRecord(bytes), etag, ageMs };
  } catch (thrown) {
    if (thrown instanceof KamadoError && thrown.code === "object_not_found") return null;
    throw unavailable(thrown);
  }
}

/** The new etag; null when the condition does not hold. Without one it is written in any case, and has no etag. Throws `storage_unavailable`. */
export async function writeMarker(
  blobs: Blobs,
  address: ObjectAddress,
  record: MarkerRecord,
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
    const found = await readMarker(blobs, address);
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
