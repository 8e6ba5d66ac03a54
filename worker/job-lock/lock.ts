// A job's lock, the object running/<id>.json in the bucket: which worker runs the job, for how long the lock holds without a
// renewal, how many runs of the job were started, and how often the engine died during them. JobLock is the lock that this
// worker holds; locks.ts acquires it.
import { z } from "zod";
import type { Clock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import type { Bucket, Condition, Found } from "../storage/bucket.ts";
import { parseStored } from "../storage/stored-json.ts";
import { count, type Deaths, NO_DEATHS, totalOf } from "./engine-deaths.ts";

const Count = z.int().min(0);
/** Another version may write more or fewer fields. Token, beat and holdMs must be there, because they decide who holds the lock. */
const LockRecord = z.object({
  worker: z.string().catch(""),
  /** Unique to one acquisition of the lock. */
  token: z.string(),
  /** Grows with every write, so that no write equals the one before it. */
  beat: Count,
  /** The lock holds for so long after its last write; 0 means that nobody runs the job. */
  holdMs: Count,
  /**
   * Runs of the handler that were started, counted before they begin: a run that ends with its worker counts. Records of older
   * versions lack it.
   */
  attempts: Count.catch(0),
  deaths: z.object({ beside: Count, alone: Count }).catch(NO_DEATHS),
  /** Of the job that has the id; older versions did not write it. */
  jobHash: z.string().optional().catch(undefined),
});
export type LockRecord = z.output<typeof LockRecord>;

export const LOCKS = "running/";
export const lockKey = (id: string) => `${LOCKS}${id}.json`;

const RECORD_LIMIT = 64 * 1024;
/** Stores round an object's times to whole seconds, once at the write and once at the read. */
const ROUNDING_MS = 2_000;

/** An object that is no valid record holds nothing. */
export const parseRecord = (bytes: Uint8Array): LockRecord => parseStored(LockRecord, bytes) ?? NO_RECORD;
const NO_RECORD: LockRecord = { worker: "", token: "", beat: 0, holdMs: 0, attempts: 0, deaths: NO_DEATHS };

/** Whether another worker's lock still holds. Both times are the store's, so no worker's clock has to be right. */
export const isHeld = ({ holdMs }: LockRecord, { ageMs }: Pick<Found, "ageMs">): boolean =>
  holdMs > 0 && ageMs < holdMs + ROUNDING_MS;

/** Longer than any lock holds. Older ones belong to workers that were killed; nobody needs them. */
export const ABANDONED_MS = 2 * 24 * 3_600_000;

/** Whether the id belongs to another job: one that runs, or that will run again. */
export const isOtherJobs = (
  { jobHash }: LockRecord,
  { ageMs }: Pick<Found, "ageMs">,
  ownHash: string,
): boolean => jobHash !== undefined && jobHash !== ownHash && ageMs < ABANDONED_MS;

export type StoredLock = Pick<Found, "etag" | "ageMs"> & { record: LockRecord };

/** The stored lock; null when there is none. Throws `storage_unavailable`. */
export async function readLock(bucket: Bucket, id: string): Promise<StoredLock | null> {
  try {
    const { bytes, etag, ageMs } = await bucket.get(lockKey(id), { maxBytes: RECORD_LIMIT });
    return { record: parseRecord(bytes), etag, ageMs };
  } catch (thrown) {
    const code = thrown instanceof KamadoError ? thrown.code : undefined;
    if (code === "object_not_found") return null;
    if (code !== "input_too_large") throw unavailable(thrown);
    // No record is that long. The object would stay in the way of every run of the job.
    await bucket.remove([lockKey(id)]).catch((error) => {
      throw unavailable(error);
    });
    return null;
  }
}

/**
 * Resolves with the new etag, or with null when the condition does not hold. Without a condition it writes in any case, and
 * the etag is empty. Throws `storage_unavailable`.
 */
export async function writeLock(
  bucket: Bucket,
  id: string,
  record: LockRecord,
  condition: Condition | null,
): Promise<string | null> {
  try {
    if (condition === null) {
      await bucket.put(lockKey(id), JSON.stringify(record), { contentType: "application/json" });
      return "";
    }
    const etag = await bucket.putIf(lockKey(id), JSON.stringify(record), condition);
    if (etag !== null) return etag;
    // The write may have worked all the same: if its answer was lost, the SDK sent it again, and that one was refused.
    const found = await readLock(bucket, id);
    const isOurs = found?.record.token === record.token && found.record.beat === record.beat;
    return isOurs ? found.etag : null;
  } catch (thrown) {
    throw unavailable(thrown);
  }
}

/** The worker lacks a right on its own bucket: that is not the sender's fault, and the operator can correct it. */
export function unavailable(thrown: unknown): unknown {
  if (!(thrown instanceof KamadoError) || thrown.code === "storage_unavailable") return thrown;
  const message = `The worker may not use ${LOCKS} of its bucket: ${thrown.message}`;
  return new KamadoError("storage_unavailable", message, { cause: thrown });
}

/**
 * A person sends the job back: its attempts and deaths begin anew. A worker that runs it keeps its lock, and so does another job that
 * has the id. `jobHash` is undefined when the message does not say which job it is.
 */
export async function forgetAttempts(bucket: Bucket, id: string, jobHash: string | undefined): Promise<void> {
  const found = await readLock(bucket, id);
  if (!found || isHeld(found.record, found)) return;
  if (jobHash !== undefined && isOtherJobs(found.record, found, jobHash)) return;
  await bucket.remove([lockKey(id)]);
}

type Moment = { now: number; wall: number };

export type JobLockOptions = {
  bucket: Bucket;
  /** The job's. */
  id: string;
  record: LockRecord;
  etag: string;
  /** A moment before the lock was written; its time runs from then at the latest. */
  since: Moment;
  /** Whether the store supports conditional writes. */
  isExact: boolean;
  /** Has the object removed in a while. */
  removeLater(): void;
  clock: Clock;
  log: Log;
};

const RETRY_MS = 1_000;

/** Renews itself until `end`. */
export class JobLock {
  readonly #options: JobLockOptions;
  readonly #lost = new AbortController();
  readonly #ended = new AbortController();
  #record: LockRecord;
  #etag: string;
  #since: Moment;
  #isCounted = false;
  #renewing: Promise<boolean> | undefined;

  constructor(options: JobLockOptions) {
    this.#options = options;
    this.#record = options.record;
    this.#etag = options.etag;
    this.#since = options.since;
    void this.#keepRenewing();
  }

  get deaths(): Deaths {
    return this.#record.deaths;
  }

  /** Started runs, the one that this lock is for included. */
  get attempts(): number {
    return this.#record.attempts;
  }

  /** The handler ran, and nothing interrupted it. Without this call `end` does not count the run. */
  countRun(): void {
    this.#isCounted = true;
  }

  /** Fires with `lease_lost` when another worker has the lock. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Counts that the engine died during the job. `end` stores it for the next attempt. */
  countDeath(wasAlone: boolean): Deaths {
    this.#record = { ...this.#record, deaths: count(this.#record.deaths, wasAlone) };
    return this.deaths;
  }

  /** Whether this worker still has the lock; asks the store when the lock may have expired. Throws `storage_unavailable`. */
  async confirm(): Promise<boolean> {
    if (this.#lost.signal.aborted) return false;
    return this.#isFresh() || this.#renew();
  }

  /**
   * Ends the renewal. A job that is done keeps its lock a little longer; one that will run again frees it at once, and the
   * object stays if it has attempts or deaths to tell. Never throws: a lock that cannot be removed expires.
   */
  async end(how: "done" | "again"): Promise<void> {
    this.#ended.abort();
    const { bucket, id, log, removeLater } = this.#options;
    try {
      await this.#renewing;
      if (this.#lost.signal.aborted) return;
      if (how === "done") return removeLater();
      const attempts = this.#isCounted ? this.attempts : this.attempts - 1;
      if (attempts > 0 || totalOf(this.deaths) > 0)
        await this.#write({ ...this.#record, beat: this.#record.beat + 1, holdMs: 0, attempts });
      else if (await this.confirm()) await bucket.remove([lockKey(id)]);
    } catch (thrown) {
      log.debug({ stage: "job-lock" }, `a lock could not be removed: ${(thrown as Error).message}`);
    }
  }

  /** Renews the lock after half of its time. A renewal that fails is tried again while the job goes on. */
  async #keepRenewing(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#ended;
    let pause = this.#record.holdMs / 2;
    for (;;) {
      await clock.sleep(pause, signal);
      if (signal.aborted || this.#lost.signal.aborted) return;
      try {
        await this.#renew();
        pause = this.#record.holdMs / 2;
      } catch (thrown) {
        log.debug({ stage: "job-lock" }, `a lock could not be renewed: ${(thrown as Error).message}`);
        pause = RETRY_MS;
      }
    }
  }

  #isFresh(): boolean {
    const { clock } = this.#options;
    const { holdMs } = this.#record;
    return clock.now() - this.#since.now < holdMs && clock.wall() - this.#since.wall < holdMs;
  }

  #renew(): Promise<boolean> {
    this.#renewing ??= this.#write({ ...this.#record, beat: this.#record.beat + 1 }).finally(() => {
      this.#renewing = undefined;
    });
    return this.#renewing;
  }

  /** Resolves with false, and the lock is lost, when another worker has written it. */
  async #write(record: LockRecord): Promise<boolean> {
    const { bucket, id, clock, isExact } = this.#options;
    const since = { now: clock.now(), wall: clock.wall() };
    const isOurs = isExact || (await readLock(bucket, id))?.record.token === record.token;
    const condition = isExact ? { etag: this.#etag } : null;
    const etag = isOurs ? await writeLock(bucket, id, record, condition) : null;
    if (etag === null) {
      this.#lost.abort(new KamadoError("lease_lost", "Another worker runs the job now."));
      return false;
    }
    this.#etag = etag;
    this.#since = since;
    this.#record = { ...record, deaths: this.deaths };
    return true;
  }
}
