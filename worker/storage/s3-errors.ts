// What an error of S3 means for a job: not there, not allowed, or not now. Pure.
import { healthOf, namesOf, statusOf } from "../aws/errors.ts";
import { KamadoError } from "../errors.ts";
import { formatAddress, type ObjectAddress } from "./bucket.ts";

export const isCode = (error: unknown, code: string) => error instanceof KamadoError && error.code === code;

/** The condition of a write did not hold; 409 when another write was under way at the same time. */
export const isRefusedCondition = (error: unknown) => statusOf(error) === 412 || statusOf(error) === 409;

/** The store has never heard of conditions; what is about our key or the network says so by its name. */
export const isConditionUnknown = (error: unknown) =>
  [400, 501].includes(statusOf(error) ?? 0) && healthOf(error) === "unknown";

export const withoutConditions = (cause: unknown, address: ObjectAddress) =>
  new KamadoError("storage_unavailable", `${formatAddress(address)}: the store refuses conditional writes.`, {
    cause,
    detail: { supportsConditions: false },
  });

export const unavailable = (cause: unknown, address: ObjectAddress, why: string) =>
  new KamadoError("storage_unavailable", `${formatAddress(address)}: ${why}.`, {
    cause,
    detail: { awsFailure: healthOf(cause) },
  });

// 403 too, but these are about our own key or clock, and the same job succeeds once that is put right.
const OUR_KEY =
  /Expired|InvalidToken|TokenRefreshRequired|InvalidAccessKeyId|SignatureDoesNotMatch|TimeTooSkewed/;

export function meaning(thrown: unknown, address: ObjectAddress, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason;
  if (thrown instanceof KamadoError) return thrown;
  const names = namesOf(thrown);
  const where = formatAddress(address);
  if (names.some((name) => /^(NoSuchKey|NoSuchBucket|NotFound)$/.test(name)) || statusOf(thrown) === 404)
    return new KamadoError("object_not_found", `${where}: there is no such object.`, { cause: thrown });
  if (statusOf(thrown) === 403 && !names.some((name) => OUR_KEY.test(name)))
    return new KamadoError("object_forbidden", `${where}: the worker may not read or write it.`, {
      cause: thrown,
    });
  return unavailable(thrown, address, thrown instanceof Error ? thrown.message : "the call failed");
}
