// Stored results, one object a job. A job that is received again is answered with its stored result and does not run again.
import { KamadoError, toKamadoError } from "../errors.ts";
import { Result, resultKey } from "../job/result.ts";
import { addressOf, type Bucket } from "./bucket.ts";
import { readStored } from "./stored-json.ts";

const RESULT_LIMIT = 64 * 1024 * 1024;

export type Results = {
  /**
   * The result that an earlier run of this job stored; null when there is none. A damaged one counts as none: the job runs again
   * and replaces it. Throws `storage_unavailable`.
   */
  find(id: string, signal?: AbortSignal): Promise<Result | null>;
  store(result: Result): Promise<void>;
  /** The `s3://` address of a job's result. */
  address(id: string): string;
};

type Warnings = { warn(fields: Record<string, unknown>, text: string): void };

export function createResults(bucket: Bucket, log?: Warnings): Results {
  return {
    async find(id, signal) {
      const stored = await readStored(bucket, resultKey(id), Result, {
        maxBytes: RESULT_LIMIT,
        ...(signal && { signal }),
      });
      if (stored.is === "found" && stored.value.id === id) return stored.value;
      if (stored.is !== "absent")
        log?.warn(
          { job: id, stage: "claim" },
          `${addressOf(bucket, resultKey(id))} is damaged; it does not count`,
        );
      return null;
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
