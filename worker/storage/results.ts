// Stored results: the memory that makes a redelivered job answer without running again.

import { KamadoError, toKamadoError } from "../errors.ts";
import { Result, resultKey } from "../job/result.ts";
import { type Blobs, formatAddress } from "./bucket.ts";

const RESULT_LIMIT = 64 * 1024 * 1024;

export type Results = {
  /** The result an earlier run of this job stored; null when there is none. */
  find(id: string, signal?: AbortSignal): Promise<Result | null>;
  store(result: Result): Promise<void>;
  /** Where a job's result is stored. */
  address(id: string): string;
};

export function createResults({ blobs, bucket }: { blobs: Blobs; bucket: string }): Results {
  const at = (id: string) => ({ bucket, key: resultKey(id) });
  return {
    async find(id, signal) {
      try {
        const { bytes } = await blobs.get(at(id), { maxBytes: RESULT_LIMIT, ...(signal && { signal }) });
        return Result.parse(JSON.parse(new TextDecoder().decode(bytes)));
      } catch (thrown) {
        const error = toKamadoError(thrown, "storage_unavailable");
        if (error.code === "object_not_found") return null;
        if (error.code !== "object_forbidden") throw error;
        // Not the sender's fault and not for ever: the worker's own rights on its own bucket.
        throw new KamadoError("storage_unavailable", `The worker may not read ${formatAddress(at(id))}.`, {
          cause: error,
        });
      }
    },
    async store(result) {
      try {
        await blobs.put(at(result.id), JSON.stringify(result), { contentType: "application/json" });
      } catch (thrown) {
        throw new KamadoError(
          "storage_unavailable",
          `The result could not be stored: ${toKamadoError(thrown, "storage_unavailable").message}`,
          { cause: thrown },
        );
      }
    },
    address: (id) => formatAddress(at(id)),
  };
}
