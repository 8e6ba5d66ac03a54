// One message that is ours for a while: until when, and whether that is certain. Renewing it belongs to heartbeat.ts,
// deleting it and giving it back to acks.ts.
import { type Clock, type Moment, momentOf } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import type { Message } from "../queue/queue.ts";

/** SQS hides a message for at most 12 hours after its receive, renewed or not. Five seconds are kept for calls that are under way. */
const LIMIT_MS = (12 * 3_600 - 5) * 1_000;
/** The job is ended this long before the limit, so that its failure can still be stored and delivered and its message deleted. */
const LAST_EFFECTS_MS = 60_000;

/** What a lease needs from its heartbeat. */
export type Renewer = {
  readonly clock: Clock;
  /** How long a receive or a renewal hides the message. */
  readonly visibilityMs: number;
  /** Notices that the process was suspended, which puts every lease in doubt. */
  checkForSuspend(): void;
  /** Resolves when the lease has been renewed, or is lost. */
  renewNow(lease: Lease): Promise<void>;
  drop(lease: Lease): void;
};

export class Lease {
  readonly message: Message;
  readonly receivedWall: number;
  readonly #renewer: Renewer;
  readonly #end = new AbortController();
  readonly #lost = new AbortController();
  readonly #limit: number;
  /** On both clocks: after a sleep only the wall clock may have moved on. */
  #expires: Moment;
  #dueAt: number;
  #isDoubted = false;

  constructor(renewer: Renewer, message: Message, since: Moment) {
    this.#renewer = renewer;
    this.message = message;
    this.receivedWall = renewer.clock.wall();
    this.#limit = since.now + LIMIT_MS;
    this.#expires = after(since, renewer.visibilityMs);
    this.#dueAt = this.#nextDue(since.now);
  }

  /** Fires when the job must end: with `lease_lost`, or with `timed_out` when the 12 hours are nearly used up. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }
  /** Fires when the message is no longer ours: from then on nothing more may be done about it. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }
  get isLost(): boolean {
    return this.#lost.signal.aborted;
  }
  /** Whether another worker may have the message by now. */
  get isOver(): boolean {
    const { now, wall } = momentOf(this.#renewer.clock);
    return this.isLost || now >= this.#expires.now || wall >= this.#expires.wall;
  }
  /** Whether the message is certainly still ours. */
  get held(): boolean {
    return !this.isOver && !this.#isDoubted;
  }
  get isDoubted(): boolean {
    return this.#isDoubted && !this.isLost;
  }
  /** When to renew it next, on the monotonic clock. */
  get dueAt(): number {
    return this.#dueAt;
  }

  /** Whether the message is still ours; asks the queue when that is not certain. Called before every effect of a job. */
  async confirm(): Promise<boolean> {
    this.#renewer.checkForSuspend();
    if (!this.held && !this.isLost) await this.#renewer.renewNow(this);
    return this.held;
  }

  /** What is left of the 12 hours. Seconds. */
  get budgetSeconds(): number {
    return Math.max(0, Math.floor((this.#limit - this.#renewer.clock.now()) / 1_000));
  }
  /** How long the next renewal may hide the message; 0 when the 12 hours are used up. Seconds. */
  get renewalSeconds(): number {
    return Math.min(this.#renewer.visibilityMs / 1_000, this.budgetSeconds);
  }

  renewed(since: Moment, seconds: number): void {
    this.#isDoubted = false;
    this.#expires = after(since, seconds * 1_000);
    this.#dueAt = this.#nextDue(since.now);
  }

  tryAgainAt(now: number): void {
    this.#dueAt = now;
  }

  /** The process was suspended: only a renewal can tell whether the message is still ours. */
  doubt(): void {
    this.#isDoubted = true;
  }

  /** Ends the job, but not the lease, when the 12 hours are nearly used up. */
  endInTime(): void {
    if (this.#end.signal.aborted || this.#renewer.clock.now() < this.#limit - LAST_EFFECTS_MS) return;
    this.#end.abort(
      new KamadoError("timed_out", "A queue lends a message for 12 hours in all, and they are used up."),
    );
  }

  /** Ends the lease from our side: the job is aborted, and the queue delivers the message again. */
  lose(why: string): void {
    const reason = new KamadoError("lease_lost", why);
    this.#lost.abort(reason);
    this.#renewer.drop(this);
    this.#end.abort(reason);
  }

  /**
   * A third of the visibility from now, or two thirds before the end of a longer one, so that two renewals may fail; but in time for the last
   * effects.
   */
  #nextDue(now: number): number {
    const third = this.#renewer.visibilityMs / 3;
    const atThird = Math.max(now + third, this.#expires.now - 2 * third);
    return this.#end.signal.aborted ? atThird : Math.min(atThird, this.#limit - LAST_EFFECTS_MS);
  }
}

const after = ({ now, wall }: Moment, ms: number): Moment => ({ now: now + ms, wall: wall + ms });
