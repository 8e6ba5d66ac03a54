// A run's claim on its job: an entry that keeps a second run out of this process, the lock that keeps other workers out, and the
// signal of a cancellation. run-job.ts says when to acquire, confirm and end it; the lock's object is left to locks.ts and lock.ts.
import { Cancellations } from "./cancellations.ts";
import { totalOf } from "./engine-deaths.ts";
import type { JobLock } from "./lock.ts";
import { JobLocks, type JobLocksOptions, type Taken } from "./locks.ts";

/** What the claims of one worker share. */
export type JobClaims = {
  /** The jobs that run in this process. Two messages may carry one job; the second then waits for the first one's result. */
  claimed: Set<string>;
  locks: JobLocks;
  cancellations: Cancellations;
};

export const createJobClaims = (options: JobLocksOptions): JobClaims => ({
  claimed: new Set(),
  locks: new JobLocks(options),
  cancellations: new Cancellations(options),
});

const NEVER = new AbortController().signal;

export class JobClaim {
  readonly #claims: JobClaims;
  #id: string | undefined;
  #jobHash = "";
  #isWatched = false;
  #taking: Promise<Taken> | undefined;
  #lock: JobLock | undefined;

  constructor(claims: JobClaims) {
    this.#claims = claims;
  }

  /** False when a job with this id is already running in this process. `jobHash` tells the job from others with its id. */
  enter(id: string, jobHash: string): boolean {
    this.#jobHash = jobHash;
    if (this.#claims.claimed.has(id)) return false;
    this.#claims.claimed.add(id);
    this.#id = id;
    return true;
  }

  /** Acquires the lock among all workers. Throws `storage_unavailable`. */
  async take(id: string): Promise<Taken> {
    this.#taking = this.#claims.locks.take(id, this.#jobHash);
    const taken = await this.#taking;
    if (taken.is === "ours") this.#lock = taken.lock;
    return taken;
  }

  /** Whether the id belongs to another job. Throws `storage_unavailable`. */
  isOtherJobs(id: string): Promise<boolean> {
    return this.#claims.locks.isOtherJobs(id, this.#jobHash);
  }

  /** Fires with `canceled` when the sender cancels the job. */
  watch(id: string): Promise<AbortSignal> {
    this.#isWatched = true;
    return this.#claims.cancellations.watch(id);
  }

  /** Of the job that entered. */
  get jobHash(): string {
    return this.#jobHash;
  }

  /** Fires when another worker has the job. */
  get lost(): AbortSignal {
    return this.#lock?.signal ?? NEVER;
  }

  /** How often the engine died during the job. */
  get deaths(): number {
    return this.#lock ? totalOf(this.#lock.deaths) : 0;
  }

  /** Whether no other worker has the job. Throws `storage_unavailable`. */
  async confirm(): Promise<boolean> {
    return this.#lock === undefined || this.#lock.confirm();
  }

  /** Never throws. When it resolves, another run may claim the job. */
  async end(how: "done" | "again"): Promise<void> {
    // A run that failed early may still be acquiring its lock.
    await this.#taking?.catch(() => {});
    await this.#lock?.end(how);
    if (this.#id === undefined) return;
    // A message that did not get the lock does not end the job, so it leaves the cancellation to the run that has it.
    if (this.#isWatched) this.#claims.cancellations.forget(this.#id, this.#lock ? how : "again");
    this.#claims.claimed.delete(this.#id);
  }
}
