// Which worker runs a job, told to all of them by an object in the bucket: of two that hold the same job, by a second
// receipt or a second message, one runs it and the other gives it back. It costs a job one write before and one removal
// after it, and neither is waited for alone.
//
// Where the store keeps conditions (AWS S3, the embedded AWS, moto) exactly one worker wins. Where it takes a conditional write for
// a plain one or refuses it, which is found out once, each writes, waits a moment and looks whose writing stands: best effort,
// two that write far apart in that moment may both run the job.
import { randomUUID } from "node:crypto";
import type { Clock } from "../async/clock.ts";
import type { Log } from "../logging/log.ts";
import type { Bucket, Condition } from "../storage/bucket.ts";
import { NO_DEATHS } from "./engine-deaths.ts";
import { JobLock } from "./lock.ts";
import {
  holdsForMs,
  keepsConditions,
  type LockRecord,
  lockKey,
  MARKERS,
  readLock,
  writeLock,
} from "./lock-object.ts";

export type JobLocksOptions = {
  bucket: Bucket;
  worker: string;
  /** How long a message stays hidden without renewal. */
  visibilitySeconds: number;
  clock: Clock;
  log: Log;
};

/** Between writing and looking, where the store keeps no conditions. */
const SETTLE_MS = 400;
const TRIES = 4;
/** No job's: an id begins with a letter or a digit. */
const PROBE = `${MARKERS}.probe`;
/** Longer than any lock holds: what is older was left by workers that were killed, its job done or forgotten. */
const LEFT_MS = 2 * 24 * 3_600_000;

/** `lookAgain`: the result may have been stored meanwhile. */
export type Taken = { is: "ours"; lock: JobLock; lookAgain: boolean } | { is: "another's"; forMs: number };

export class JobLocks {
  readonly #options: JobLocksOptions;
  readonly #holdMs: number;
  readonly #lingering: Lingering;
  #exact: Promise<boolean> | undefined;

  constructor(options: JobLocksOptions) {
    this.#options = options;
    this.#lingering = new Lingering(options);
    // A worker that died must not keep its jobs longer than their messages stay hidden: a lock is renewed as often as a
    // lease, every third of the visibility, and holds for two thirds.
    this.#holdMs = Math.ceil((options.visibilitySeconds * 2_000) / 3);
  }

  /** Throws `storage_unavailable`. */
  async take(id: string): Promise<Taken> {
    const since = this.#time();
    const isExact = await this.#isExact();
    const record = this.#record();
    const won = isExact ? await this.#takeSurely(id, record) : await this.#takeUnsurely(id, record);
    if ("forMs" in won) return { is: "another's", forMs: won.forMs };
    const { now, wall } = this.#time();
    const tookMs = Math.max(now - since.now, wall - since.wall);
    const lock = new JobLock({
      ...this.#options,
      ...won,
      id,
      since,
      isExact,
      linger: () => this.#lingering.add(lockKey(id)),
    });
    return { is: "ours", lock, lookAgain: tookMs >= LINGER_MS || won.wasThere };
  }

  /** Resolves when no lock of a finished job is left to be removed. */
  idle(): Promise<void> {
    return this.#lingering.idle();
  }

  async #takeSurely(id: string, record: LockRecord) {
    for (let tries = 0; tries < TRIES; tries++) {
      const etag = await this.#write(id, record, "absent");
      if (etag !== null) return { etag, record, wasThere: false };
      const found = await this.#read(id);
      if (!found) continue;
      const forMs = holdsForMs(found.record, found);
      if (forMs > 0) return { forMs };
      const heir = { ...record, deaths: found.record.deaths };
      const inherited = await this.#write(id, heir, { etag: found.etag });
      if (inherited !== null) return { etag: inherited, record: heir, wasThere: true };
    }
    return { forMs: this.#holdMs };
  }

  async #takeUnsurely(id: string, record: LockRecord) {
    const before = await this.#read(id);
    const forMs = before ? holdsForMs(before.record, before) : 0;
    if (forMs > 0) return { forMs };
    const heir = { ...record, deaths: before?.record.deaths ?? NO_DEATHS };
    await this.#write(id, heir, null);
    await this.#options.clock.sleep(SETTLE_MS);
    const after = await this.#read(id);
    if (after?.record.token !== heir.token) return { forMs: this.#holdMs };
    return { etag: after.etag, record: heir, wasThere: true };
  }

  /** Found out at an object of its own, once; asked again when the store could not be reached. */
  #isExact(): Promise<boolean> {
    this.#exact ??= this.#probe().catch((thrown) => {
      this.#exact = undefined;
      throw thrown;
    });
    return this.#exact;
  }

  async #probe(): Promise<boolean> {
    const { bucket, log } = this.#options;
    const keeps = await keepsConditions(bucket, PROBE);
    if (!keeps)
      log.warn(
        { stage: "markers" },
        "the store keeps no conditions on writes: two workers that get one job at the same moment may both run it",
      );
    void this.#removeLeft();
    return keeps;
  }

  /** Once a start, so that the bucket does not fill with the marks of the dead. */
  async #removeLeft(): Promise<void> {
    const { bucket, clock, log } = this.#options;
    try {
      const all = await bucket.list(MARKERS);
      const left = all.filter(({ key, modified }) => key !== PROBE && clock.wall() - modified > LEFT_MS);
      await bucket.remove(left.map(({ key }) => key));
    } catch (thrown) {
      log.debug({ stage: "markers" }, `old locks stay: ${(thrown as Error).message}`);
    }
  }

  #read = (id: string) => readLock(this.#options.bucket, id);
  #write = (id: string, record: LockRecord, condition: Condition | null) =>
    writeLock(this.#options.bucket, id, record, condition);
  #record = (): LockRecord => ({
    worker: this.#options.worker,
    token: randomUUID(),
    beat: 0,
    holdMs: this.#holdMs,
    deaths: NO_DEATHS,
  });
  #time = () => ({ now: this.#options.clock.now(), wall: this.#options.clock.wall() });
}

// JobLocks of jobs that are done: each stays a while, then they are removed together. A lock that is not removed runs out
// by itself, and its job's result is found first.
/**
 * A worker looks for a stored result at the same time as it takes the lock; when both answers came within this, no job
 * can have been stored and its lock removed between the two.
 */
export const LINGER_MS = 500;

export class Lingering {
  readonly #options: { bucket: Bucket; clock: Clock; log: Log };
  #leaving: { key: string; since: number }[] = [];
  #sweep: Promise<void> | undefined;

  constructor(options: { bucket: Bucket; clock: Clock; log: Log }) {
    this.#options = options;
  }

  add(key: string): void {
    this.#leaving.push({ key, since: this.#options.clock.now() });
    this.#sweep ??= this.#sweepAll().finally(() => {
      this.#sweep = undefined;
    });
  }

  /** Resolves when none is left. */
  async idle(): Promise<void> {
    await this.#sweep;
  }

  async #sweepAll(): Promise<void> {
    const { bucket, clock, log } = this.#options;
    while (this.#leaving.length > 0) {
      await clock.sleep(LINGER_MS);
      const before = clock.now() - LINGER_MS;
      const due = this.#leaving.filter(({ since }) => since <= before);
      this.#leaving = this.#leaving.filter((one) => !due.includes(one));
      await bucket
        .remove(due.map(({ key }) => key))
        .catch((thrown) => log.debug({ stage: "markers" }, `locks stay behind: ${thrown.message}`));
    }
  }
}
