// What workers on one bucket know of each other's runs: one object a schedule, running/schedules/NAME.json, with the latest run. Of two
// workers that find the same run due one sends its job. It only saves work and deliveries: a job sent twice has one id and runs once.
import { z } from "zod";
import { KamadoError } from "../errors.ts";
import { lockKey } from "../job-lock/lock.ts";
import type { Bucket } from "../storage/bucket.ts";
import { readStored } from "../storage/stored-json.ts";

/** Another version may write more. */
const RunRecord = z.object({
  /** The time that the run is for, in epoch milliseconds. */
  at: z.number(),
  job: z.string(),
  /** Unique to a worker's process. */
  by: z.string(),
  /** Null as long as the job may not be on the queue. */
  sentAt: z.number().nullable(),
});
export type RunRecord = z.output<typeof RunRecord>;

/** `isHeld`: its worker may still be about to send the job. */
export type StoredRun = RunRecord & { etag: string; isHeld: boolean };

const MAX_BYTES = 16 * 1024;
/** Longer than it takes to send a job. */
const HOLD_MS = 60_000;

/** No job has such an id. */
const keyOf = (name: string) => lockKey(`schedules/${name}`);

/** Null when there is none. Throws `storage_unavailable`. */
export async function readRun(bucket: Bucket, name: string): Promise<StoredRun | null> {
  const stored = await readStored(bucket, keyOf(name), RunRecord, { maxBytes: MAX_BYTES });
  // It would be in the way of every later one.
  if (stored.is === "damaged") await bucket.remove([keyOf(name)]);
  if (stored.is !== "found") return null;
  const { value, etag, ageMs } = stored;
  return { ...value, etag, isHeld: value.sentAt === null && ageMs < HOLD_MS };
}

/** Whether the run is now this worker's to send. `before`: what was read. Throws `storage_unavailable`. */
export async function claimRun(
  bucket: Bucket,
  name: string,
  record: RunRecord,
  before: StoredRun | null,
): Promise<boolean> {
  try {
    const condition = before === null ? "absent" : { etag: before.etag };
    return (await bucket.putIf(keyOf(name), JSON.stringify(record), condition)) !== null;
  } catch (thrown) {
    // A store without conditions tells nobody apart; the id does.
    if (thrown instanceof KamadoError && thrown.detail?.supportsConditions === false) return true;
    throw thrown;
  }
}

/** Says that the job is on the queue. Throws `storage_unavailable`. */
export async function noteSent(bucket: Bucket, name: string, record: RunRecord): Promise<void> {
  await bucket.put(keyOf(name), JSON.stringify(record), { contentType: "application/json" });
}
