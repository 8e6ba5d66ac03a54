// Stored results, one object a job. A job that is received again is answered with its stored result and does not run again.
import { KamadoError, toKamadoError } from "../errors.ts";
import { Result, resultKey } from "../job/result.ts";
import { addressOf, type Bucket } from "./bucket.ts";

const RESULT_LIMIT = 64 * 1024 * 1024;

export type Results = {
  /** The result that an earlier run of this job stored; null when there is none. */
  find(id: string, signal?: AbortSignal): Promise<Result | null>;
  store(result: Result): Promise<void>;
  /** The `s3://` address of a job's result. */
  address(id: string): string;
};

export function createResults(bucket: Bucket): Results {
  return {
    async find(id, signal) {
      try {
        const { bytes } = await bucket.get(resultKey(id), {
          maxBytes: RESULT_LIMIT,
          ...(signal && { signal }),
        });
        return Result.parse(JSON.parse(new TextDecoder().decode(bytes)));
      } catch (thrown) {
        const error = toKamadoError(thrown, "storage_unavailable");
        if (error.code === "object_not_found") return null;
        if (error.code !== "object_forbidden") throw error;
        // The worker lacks a right on its own bucket. That is not the sender's fault, and the operator can correct it.
        const why = `The worker may not read ${addressOf(bucket, resultKey(id))}.`;
        throw new KamadoError("storage_unavailable", why, { cause: error });
      }
    },
    async store(result) {
      try {
        await bucket.put(resultKey(result.id), JSON.stringify(result), { contentType: "application/json" });
      } catch (thrown) {
        const { message } = toKamadoError(thrown, "storage_unavailable");
        const why = `The result could not be stored: ${message}`;
        throw new KamadoError("storage_unavailable", why, { cause: thrown });
      }
    },
    address: (id) => addressOf(bucket, resultKey(id)),
  };
}
