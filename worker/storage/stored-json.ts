// Reads JSON that a worker stored in Kamado's own bucket. Owns how an object that is missing or damaged is told from a bucket that
// does not answer: only the latter is worth another try. Two versions of Kamado may share a bucket, so schemas drop the fields that
// they do not know. What becomes of a damaged object is left to its reader; none is ever the trouble of another job.
import type { z } from "zod";
import { KamadoError } from "../errors.ts";
import { jsonText, parseJson } from "../job/json.ts";
import { addressOf, type Bucket, type Found } from "./bucket.ts";

export type Stored<T> =
  | ({ is: "found"; value: T } & Pick<Found, "etag" | "ageMs">)
  | { is: "absent" }
  | { is: "damaged"; why: string };

/** Throws `storage_unavailable`, and the signal's reason when it fires. */
export async function readStored<T>(
  bucket: Pick<Bucket, "name" | "get">,
  key: string,
  schema: z.ZodType<T>,
  options: { maxBytes: number; signal?: AbortSignal },
): Promise<Stored<T>> {
  try {
    const { bytes, etag, ageMs } = await bucket.get(key, options);
    const value = parseStored(schema, bytes);
    return value === undefined
      ? { is: "damaged", why: "it is not what Kamado stores there" }
      : { is: "found", value, etag, ageMs };
  } catch (thrown) {
    if (!(thrown instanceof KamadoError)) throw thrown;
    if (thrown.code === "object_not_found") return { is: "absent" };
    if (thrown.code === "input_too_large")
      return { is: "damaged", why: "it is longer than any that Kamado stores" };
    // The worker lacks a right on its own bucket. That is not the sender's fault, and the operator can correct it.
    if (thrown.code === "object_forbidden" || thrown.code === "object_unreadable")
      throw new KamadoError("storage_unavailable", `The worker may not read ${addressOf(bucket, key)}.`, {
        cause: thrown,
      });
    throw thrown;
  }
}

/** Undefined for bytes that are no JSON, or no value of the schema. */
export function parseStored<T>(schema: z.ZodType<T>, bytes: Uint8Array): T | undefined {
  try {
    return schema.safeParse(parseJson(jsonText(bytes))).data;
  } catch {
    return undefined;
  }
}
