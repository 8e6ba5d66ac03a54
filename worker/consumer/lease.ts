// One message that is ours for a while: until when, and whether that is certain. Keeping it ours belongs to leases.ts,
// deleting and giving back to acks.ts.
import type { Clock } from "../async/clock.ts";
import { KamadoError } from "../errors.ts";
import type { Message } from "../queue/queue.ts";
import { type Moment, momentOf } from "./suspend-detector.ts";

/** SQS ends every receipt 12 hours after the receive, renewed or not. A little is kept for calls on their way. */
const LIMIT_MS = (12 * 3_600 - 5) * 1_000;
/** Before that the job is ended, so that its failure can still be stored, told, and its message deleted. */
const LAST_EFFECTS_MS = 60_000;

/** What a lease wants of whoever keeps it. */
export type Keeper = {
  readonly clock: Clock;
  readonly visibilityMs: number;
  /** Notices a sleep, which puts every lease in doubt. */
  look(): void;
  /** Resolves when the lease has been renewed, or is lost. */
  renewNow(lease: Lease): Promise<void>;
  drop(lease: Lease): void;
};

/** `expires` is kept in both clocks: a machine that slept knows it by the wall clock. */
export class Lease {
  readonly message: Message;
  readonly receivedWall: number;
  readonly #keeper: Keeper;
  readonly #end = new AbortController();
  readonly #lost = new AbortController();
  readonly #limit: number;
  #expires: Moment;
  #dueAt: number;
  #isDoubted = false;

  constructor(keeper: Keeper, message: Message, since: Moment) {
    this.#keeper = keeper;
    this.message = message;
    this.receivedWall = keeper.clock.wall();
    this.#limit = since.now + LIMIT_MS;
    this.#expires = after(since, keeper.visibilityMs);
    this.#dueAt = this.#nextDue(since.now);
  }

  /** Fires when the job must end: with `lease_lost`, or with `timed_out` when the 12 hours are nearly used up. */
  get signal(): AbortSignal {
    return this.#end.signal;
  }
  /** Fires when the message is not ours any more: then nothing more may be done about it. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }
  get isLost(): boolean {
    return this.#lost.signal.aborted;
  }
  /** Whether another worker may have the message by now. */
  get isOver(): boolean {
    const { now, wall } = momentOf(this.#keeper.clock);
    return this.isLost || now >= this.#expires.now || wall >= this.#expires.wall;
  }
  /** Whether the message is certainly still ours. */
  get held(): boolean {
    return !this.isOver && !this.#isDoubted;
  }
  get isDoubted(): boolean {
    return this.#isDoubted && !this.isLost;
  }
  /** When it is to be renewed next, in the monotonic clock. */
  get dueAt(): number {
    return this.#dueAt;
  }

  /** Asks the queue when we cannot be certain. Before every effect: what another worker may hold is not ours to finish. */
  async confirm(): Promise<boolean> {
    this.#keeper.look();
    if (!this.held && !this.isLost) await this.#keeper.renewNow(this);
    return this.held;
  }

  /** What is left of the 12 hours. Seconds. */
  get budgetSeconds(): number {
    return Math.max(0, Math.floor((this.#limit - this.#keeper.clock.now()) / 1_000));
  }
  /** How long the next renewal may hide the message; 0 when the 12 hours are used up. Seconds. */
  get renewalSeconds(): number {
    return Math.min(this.#keeper.visibilityMs / 1_000, this.budgetSeconds);
  }

  renewed(since: Moment, seconds: number): void {
    this.#isDoubted = false;
    this.#expires = after(since, seconds * 1_000);
    this.#dueAt = this.#nextDue(since.now);
  }

  tryAgainAt(now: number): void {
    this.#dueAt = now;
  }

  /** The process slept: only a renewal can tell whether the message is still ours. */
  doubt(): void {
    this.#isDoubted = true;
  }

  /** Ends the job, not the lease, when the 12 hours are nearly used up. */
  endInTime(): void {
    if (this.#end.signal.aborted || this.#keeper.clock.now() < this.#limit - LAST_EFFECTS_MS) return;
    this.#end.abort(
      new KamadoError("timed_out", "A queue lends a message for 12 hours in all, and they are used up."),
    );
  }

  /** Ends the lease from our side: the job is aborted, the message left to the queue. */
  lose(why: string): void {
    const reason = new KamadoError("lease_lost", why);
    this.#lost.abort(reason);
    this.#keeper.drop(this);
    this.#end.abort(reason);
  }

  #nextDue(now: number): number {
    const atThird = now + this.#keeper.visibilityMs / 3;
    return this.#end.signal.aborted ? atThird : Math.min(atThird, this.#limit - LAST_EFFECTS_MS);
  }
}

const after = ({ now, wall }: Moment, ms: number): Moment => ({ now: now + ms, wall: wall + ms });
