// One job's lock while its worker holds it: kept alive as long as the job runs, looked after before each effect, given
// up at the end. How it is won is in locks.ts.

import type { Clock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import type { Log } from "../logging/log.ts";
import type { Bucket } from "../storage/bucket.ts";
import { count, type Deaths, totalOf } from "./engine-deaths.ts";
import { type LockRecord, lockKey, readLock, writeLock } from "./lock-object.ts";

type Moment = { now: number; wall: number };

export type JobLockOptions = {
  bucket: Bucket;
  /** The job's. */
  id: string;
  record: LockRecord;
  etag: string;
  /** Before it was written: it cannot hold longer than from then on. */
  since: Moment;
  /** Whether the store keeps conditions on writes. */
  isExact: boolean;
  /** Has the object removed in a while. */
  linger(): void;
  clock: Clock;
  log: Log;
};

const RETRY_MS = 1_000;

export class JobLock {
  readonly #options: JobLockOptions;
  readonly #lost = new AbortController();
  readonly #ended = new AbortController();
  #record: LockRecord;
  #etag: string;
  #since: Moment;
  #beating: Promise<boolean> | undefined;

  constructor(options: JobLockOptions) {
    this.#options = options;
    this.#record = options.record;
    this.#etag = options.etag;
    this.#since = options.since;
    void this.#keepAlive();
  }

  get deaths(): Deaths {
    return this.#record.deaths;
  }

  /** Fires with `lease_lost` when another worker runs the job. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** The engine died while the job ran. Written down at the end, for whoever takes the job next. */
  countDeath(wasAlone: boolean): Deaths {
    this.#record = { ...this.#record, deaths: count(this.#record.deaths, wasAlone) };
    return this.deaths;
  }

  /** Whether the job is still ours; asks when the lock may have run out meanwhile. Throws `storage_unavailable`. */
  async confirm(): Promise<boolean> {
    if (this.#lost.signal.aborted) return false;
    return this.#holds() || this.#beat();
  }

  /**
   * The end of the run. A job that is done keeps its lock a while; one that will be run again gives it up at once, but
   * leaves what it knows about the engine's deaths. Never throws: a lock that stays runs out.
   */
  async end(how: "done" | "again"): Promise<void> {
    this.#ended.abort();
    const { bucket, id, log, linger } = this.#options;
    try {
      await this.#beating;
      if (this.#lost.signal.aborted) return;
      if (how === "done") return linger();
      if (totalOf(this.deaths) > 0)
        await this.#write({ ...this.#record, beat: this.#record.beat + 1, holdMs: 0 });
      else if (await this.confirm()) await bucket.remove([lockKey(id)]);
    } catch (thrown) {
      log.debug({ stage: "markers" }, `a lock stays behind: ${(thrown as Error).message}`);
    }
  }

  /** Written anew in the middle of its time. What cannot be written is tried again; the job goes on meanwhile. */
  async #keepAlive(): Promise<void> {
    const { clock, log } = this.#options;
    const { signal } = this.#ended;
    let pause = this.#record.holdMs / 2;
    for (;;) {
      await clock.sleep(pause, signal);
      if (signal.aborted || this.#lost.signal.aborted) return;
      try {
        await this.#beat();
        pause = this.#record.holdMs / 2;
      } catch (thrown) {
        log.debug({ stage: "markers" }, `a lock could not be renewed: ${(thrown as Error).message}`);
        pause = RETRY_MS;
      }
    }
  }

  #holds(): boolean {
    const { clock } = this.#options;
    const { holdMs } = this.#record;
    return clock.now() - this.#since.now < holdMs && clock.wall() - this.#since.wall < holdMs;
  }

  #beat(): Promise<boolean> {
    this.#beating ??= this.#write({ ...this.#record, beat: this.#record.beat + 1 }).finally(() => {
      this.#beating = undefined;
    });
    return this.#beating;
  }

  /** False, and the lock lost, when another wrote it since. */
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
