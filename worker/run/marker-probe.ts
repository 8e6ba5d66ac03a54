// Whether the store keeps conditions on writes, found out at an object of its own.
import type { Blobs, Condition, ObjectAddress } from "../blobs/blobs.ts";
import { toKamadoError } from "../errors.ts";

/** False where it takes a conditional write for a plain one, or refuses it. Throws `storage_unavailable`, `object_forbidden`. */
export async function keepsConditions(blobs: Blobs, probe: ObjectAddress): Promise<boolean> {
  const isKept = async (condition: Condition) => (await blobs.putIf(probe, "{}", condition)) === null;
  try {
    // The first write may be the one that makes it.
    const isThere = (await isKept("absent")) || (await isKept("absent"));
    return isThere && (await isKept({ etag: '"of no object"' }));
  } catch (thrown) {
    if (toKamadoError(thrown, "storage_unavailable").detail?.conditions !== false) throw thrown;
    // A store that refuses this too is out of order, and that says nothing about conditions.
    await blobs.put(probe, "{}", { contentType: "application/json" });
    return false;
  }
}
