// Acquires jobs' locks and removes those of jobs that are done. When two workers have the same job, because a message was
// received twice or two messages carry one job, the lock lets one of them run it and the other returns its message. A job
// costs one write and one removal; both happen beside other calls, so the job does not wait for them.
//
// With conditional writes (AWS S3, the embedded AWS, moto) exactly one worker gets the lock. Some stores ignore or refuse
// conditions, which a probe finds out once. There a worker writes its lock, waits 400 ms and reads it back; whoever's lock is
// there has the job. Two workers may still run it: both saw no lock, and the second wrote after the first had read its own lock
// back.
import { randomUUID } from "node:crypto";
import type { Clock } from "../async/clock.ts";
import { toKamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import type { Bucket, Condition } from "../storage/bucket.ts";
import { NO_DEATHS } from "./engine-deaths.ts";
import {
  ABANDONED_MS,
  isHeld,
  isOtherJobs,
  JobLock,
  LOCKS,
  type LockRecord,
  lockKey,
  readLock,
  type StoredLock,
  unavailable,
  writeLock,
} from "./lock.ts";

export type JobLocksOptions = {
  bucket: Bucket;
  worker: string;
  /** How long a message stays hidden without renewal. */
  visibilitySeconds: number;
  clock: Clock;
  log: Log;
};

/** From the write to the read, where the store has no conditional writes. */
const SETTLE_MS = 400;
const TRIES = 4;
/** No job has this key, because an id begins with a letter or a digit. */
const PROBE = `${LOCKS}.probe`;
/**
 * A worker asks for the stored result and for the lock at the same time. Between the two answers another worker may store the
 * result and remove its lock. So the lock of a finished job stays this long: a worker that got its own lock sooner has missed
 * nothing, a slower one looks for the result again (`lookAgain`).
 */
const REMOVE_AFTER_MS = 500;

/** `lookAgain`: another worker may have stored the result in the meantime. */
export type Taken = { is: "ours"; lock: JobLock; lookAgain: boolean } | Refused;
/** Another worker runs the job, or its id belongs to another job. */
type Refused = { is: "another's" } | { is: "other job's" };

type OwnRecord = LockRecord & { jobHash: string };
type Won = { is: "won"; etag: string; record: LockRecord; existed: boolean };

export class JobLocks {
  readonly #options: JobLocksOptions;
  readonly #holdMs: number;
  #exact: Promise<boolean> | undefined;
  /** Tells this worker's locks from those of others, and of earlier processes under the same name. */
  readonly #instance = randomUUID();
  #toRemove: { key: string; since: number }[] = [];
  #removing: Promise<void> | undefined;

  constructor(options: JobLocksOptions) {
    this.#options = options;
    // A worker that died must not keep its jobs longer than their messages stay hidden. So a lock holds for two thirds of
    // that time and, like a lease, is renewed every third.
    this.#holdMs = Math.ceil((options.visibilitySeconds * 2_000) / 3);
  }

  /** `jobHash` tells the job from others with its id. Throws `storage_unavailable`. */
  async take(id: string, jobHash: string): Promise<Taken> {
    const since = this.#time();
    const isExact = await this.#isExact();
    const record = this.#newRecord(jobHash);
    const won = isExact ? await this.#takeExactly(id, record) : await this.#takeAndCheck(id, record);
    if (won.is !== "won") return won;
    const { now, wall } = this.#time();
    const tookMs = Math.max(now - since.now, wall - since.wall);
    const { etag, existed } = won;
    const removeLater = () => this.#removeLater(lockKey(id));
    const lock = new JobLock({
      ...this.#options,
      id,
      record: won.record,
      etag,
      since,
      isExact,
      removeLater,
    });
    return { is: "ours", lock, lookAgain: tookMs >= REMOVE_AFTER_MS || existed };
  }

  /** Whether the id belongs to another job now. Throws `storage_unavailable`. */
  async isOtherJobs(id: string, jobHash: string): Promise<boolean> {
    const found = await this.#read(id);
    return found !== null && isOtherJobs(found.record, found, jobHash);
  }

  /** Resolves when the locks of all finished jobs are removed. */
  async idle(): Promise<void> {
    await this.#removing;
  }

  async #takeExactly(id: string, record: OwnRecord): Promise<Won | Refused> {
    for (let tries = 0; tries < TRIES; tries++) {
      const etag = await this.#write(id, record, "absent");
      if (etag !== null) return { is: "won", etag, record, existed: false };
      const found = await this.#read(id);
      if (!found) continue;
      if (isOtherJobs(found.record, found, record.jobHash)) return { is: "other job's" };
      if (this.#isAnothers(id, found)) return { is: "another's" };
      const heir = inherit(record, found.record);
      const replaced = await this.#write(id, heir, { etag: found.etag });
      if (replaced !== null) return { is: "won", etag: replaced, record: heir, existed: true };
    }
    return { is: "another's" };
  }

  async #takeAndCheck(id: string, record: OwnRecord): Promise<Won | Refused> {
    const before = await this.#read(id);
    if (before && isOtherJobs(before.record, before, record.jobHash)) return { is: "other job's" };
    if (before && this.#isAnothers(id, before)) return { is: "another's" };
    const heir = before ? inherit(record, before.record) : record;
    await this.#write(id, heir, null);
    await this.#options.clock.sleep(SETTLE_MS);
    const after = await this.#read(id);
    if (after?.record.token !== heir.token) return { is: "another's" };
    return { is: "won", etag: after.etag, record: heir, existed: true };
  }

  /**
   * A lock of this worker is left over from an outage, in which it could not be removed: a job runs once in a worker, so no run
   * has it. While its removal is under way, that removal would hit the new lock too.
   */
  #isAnothers(id: string, found: StoredLock): boolean {
    const isOwn = found.record.token.startsWith(this.#instance);
    const isLeftOver = isOwn && !this.#toRemove.some(({ key }) => key === lockKey(id));
    return !isLeftOver && isHeld(found.record, found);
  }

  /** Probed once; again when the store could not be reached. */
  #isExact(): Promise<boolean> {
    this.#exact ??= this.#probe().catch((thrown) => {
      this.#exact = undefined;
      throw thrown;
    });
    return this.#exact;
  }

  async #probe(): Promise<boolean> {
    const { bucket, log } = this.#options;
    const isExact = await supportsConditions(bucket);
    if (!isExact)
      log.warn(
        { stage: "job-lock" },
        "the store has no conditional writes: two workers that get one job at the same moment may both run it",
      );
    void this.#removeAbandoned();
    return isExact;
  }

  /** Once per start, so that locks of dead workers do not fill the bucket. */
  async #removeAbandoned(): Promise<void> {
    const { bucket, clock, log } = this.#options;
    try {
      const all = await bucket.list(LOCKS);
      const isAbandoned = (modified: number) => clock.wall() - modified > ABANDONED_MS;
      const abandoned = all.filter(({ key, modified }) => key !== PROBE && isAbandoned(modified));
      await bucket.remove(abandoned.map(({ key }) => key));
    } catch (thrown) {
      log.debug({ stage: "job-lock" }, `old locks could not be removed: ${(thrown as Error).message}`);
    }
  }

  /** Locks of finished jobs are removed together. One that cannot be removed expires, and its job's result is found first. */
  #removeLater(key: string): void {
    this.#toRemove.push({ key, since: this.#options.clock.now() });
    this.#removing ??= this.#removeAll().finally(() => {
      this.#removing = undefined;
    });
  }

  async #removeAll(): Promise<void> {
    const { bucket, clock, log } = this.#options;
    while (this.#toRemove.length > 0) {
      await clock.sleep(REMOVE_AFTER_MS);
      const before = clock.now() - REMOVE_AFTER_MS;
      const due = this.#toRemove.filter(({ since }) => since <= before);
      await bucket
        .remove(due.map(({ key }) => key))
        .catch((thrown) => log.debug({ stage: "job-lock" }, `locks could not be removed: ${thrown.message}`));
      this.#toRemove = this.#toRemove.filter((one) => !due.includes(one));
    }
  }

  #read = (id: string) => readLock(this.#options.bucket, id);
  #write = (id: string, record: LockRecord, condition: Condition | null) =>
    writeLock(this.#options.bucket, id, record, condition);
  #newRecord = (jobHash: string): OwnRecord => ({
    worker: this.#options.worker,
    token: `${this.#instance}/${randomUUID()}`,
    beat: 0,
    holdMs: this.#holdMs,
    attempts: 1,
    deaths: NO_DEATHS,
    jobHash,
  });
  #time = () => ({ now: this.#options.clock.now(), wall: this.#options.clock.wall() });
}

/** The next run of the job. It has what the runs before it left behind. */
const inherit = (record: LockRecord, { attempts, deaths }: LockRecord): LockRecord => ({
  ...record,
  attempts: attempts + 1,
  deaths,
});

/** Whether the store honours conditions on writes; false when it ignores or refuses them. Throws `storage_unavailable`. */
async function supportsConditions(bucket: Bucket): Promise<boolean> {
  const isRefused = async (condition: Condition) => (await bucket.putIf(PROBE, "{}", condition)) === null;
  try {
    // The first write may create the object; the second must then be refused.
    const refusesCreation = (await isRefused("absent")) || (await isRefused("absent"));
    return refusesCreation && (await isRefused({ etag: '"of no object"' }));
  } catch (thrown) {
    if (toKamadoError(thrown, "storage_unavailable").detail?.supportsConditions !== false)
      throw unavailable(thrown);
    // A store that refuses a plain write too is out of order, which says nothing about conditions.
    await bucket.put(PROBE, "{}", { contentType: "application/json" }).catch((error) => {
      throw unavailable(error);
    });
    return false;
  }
}
