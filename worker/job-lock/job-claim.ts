// What one run holds of its job besides the message's lease: the claim in this process, the lock among all workers, and
// an open ear for the sender's change of mind. Taken in attempt.ts, confirmed before every effect, given up at the end.
import { Cancellations } from "./cancellations.ts";
import type { JobLock } from "./lock.ts";
import { JobLocks, type JobLocksOptions, type Taken } from "./locks.ts";

export type JobClaims = { claims: Claims; locks: JobLocks; cancellations: Cancellations };

/** What all runs of one worker hold their jobs by. */
export const createJobClaims = (options: JobLocksOptions): JobClaims => ({
  claims: new Claims(),
  locks: new JobLocks(options),
  cancellations: new Cancellations(options),
});

const NEVER = new AbortController().signal;

export class JobClaim {
  readonly #holds: JobClaims;
  readonly #claim;
  #id: string | undefined;
  #taking: Promise<Taken> | undefined;
  #lock: JobLock | undefined;

  constructor(holds: JobClaims) {
    this.#holds = holds;
    this.#claim = holds.claims.open();
  }

  /** False when the job runs in this process already. */
  claim(id: string): boolean {
    return this.#claim.take(id);
  }

  /** Whether the job is ours among all workers. Throws `storage_unavailable`. */
  async take(id: string): Promise<Taken> {
    this.#taking = this.#holds.locks.take(id);
    const taken = await this.#taking;
    if (taken.is === "ours") this.#lock = taken.lock;
    return taken;
  }

  /** Fires with `canceled` when the sender takes the job back. */
  watch(id: string): Promise<AbortSignal> {
    this.#id = id;
    return this.#holds.cancellations.watch(id);
  }

  /** Fires when another worker has the job. */
  get lost(): AbortSignal {
    return this.#lock?.signal ?? NEVER;
  }

  /** Throws `storage_unavailable`. */
  async confirm(): Promise<boolean> {
    return this.#lock === undefined || this.#lock.confirm();
  }

  /** Never throws. A job that others may run next is free when this resolves. */
  async end(how: "done" | "again"): Promise<void> {
    // A run that failed early may still be taking its lock.
    await this.#taking?.catch(() => {});
    await this.#lock?.end(how);
    if (this.#id !== undefined) this.#holds.cancellations.forget(this.#id, how);
    this.#claim.close();
  }
}

// Which jobs run in this process now. Two messages may carry the same job; the second waits for the first one's result.
export class Claims {
  readonly #ids = new Set<string>();

  open(): Claim {
    return new Claim(this.#ids);
  }
}

export class Claim {
  readonly #ids: Set<string>;
  #id: string | undefined;

  constructor(ids: Set<string>) {
    this.#ids = ids;
  }

  /** False when the job runs already. */
  take(id: string): boolean {
    if (this.#ids.has(id)) return false;
    this.#ids.add(id);
    this.#id = id;
    return true;
  }

  close(): void {
    if (this.#id !== undefined) this.#ids.delete(this.#id);
  }
}
