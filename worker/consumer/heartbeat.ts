// Renews the leases of all messages that one consumer holds. One loop renews them in batches, in time; a lease that cannot
// be renewed is lost. After a suspend all leases are in doubt, and renewing them comes before anything else.
import { type Clock, type Moment, momentOf } from "../async/clock.ts";
import type { Log } from "../logging/log.ts";
import type { EntryResult, Message, Queue } from "../queue/queue.ts";
import { Lease, type Renewer } from "./lease.ts";
import { SuspendDetector } from "./suspend-detector.ts";

/** After a failed renewal the next try comes this soon; sooner where the visibility is short. */
const RETRY_MS = 1_000;

export class Heartbeat implements Renewer {
  readonly clock: Clock;
  readonly visibilityMs: number;
  readonly #queue: Queue;
  readonly #log: Log;
  readonly #leases = new Set<Lease>();
  /** Those that are ours until their visibility ends, and are not renewed. */
  readonly #aside = new Set<Lease>();
  /** Renewals that somebody waits for. */
  readonly #asked = new Map<Lease, PromiseWithResolvers<void>>();
  readonly #stopping = new AbortController();
  readonly #suspends: SuspendDetector;
  /** Counted, so that a renewal can tell that a suspend came between its call and its answer. */
  #suspendCount = 0;
  /** Calls that are under way and hide messages for longer. */
  readonly #hiding = new Set<{ leases: ReadonlySet<Lease>; ended: Promise<unknown> }>();
  /** Ends the sleep of the loop. */
  #wakeUp = new AbortController();
  #loops: Promise<unknown> | undefined;

  constructor(options: { queue: Queue; visibilitySeconds: number; clock: Clock; log: Log }) {
    this.#queue = options.queue;
    this.clock = options.clock;
    this.#log = options.log;
    this.visibilityMs = options.visibilitySeconds * 1_000;
    this.#suspends = new SuspendDetector({
      clock: this.clock,
      everyMs: this.visibilityMs / 3,
      onResume: () => this.#doubtAll(),
    });
  }

  /** Takes a received message. `since` is when the receive was asked for: the lease cannot have begun earlier. */
  take(message: Message, since: Moment): Lease {
    const lease = new Lease(this, message, since);
    this.#leases.add(lease);
    // The loop sleeps until the next lease is due, and this may be it.
    if (this.#leases.size === 1 || lease.dueAt <= this.clock.now()) this.#wakeUp.abort();
    return lease;
  }

  /**
   * Renews this lease no more. Resolves when a renewal of it that is under way has ended: it would undo a wait that is set
   * meanwhile.
   */
  async retire(lease: Lease): Promise<void> {
    this.drop(lease);
    await Promise.all([...this.#hiding].filter(({ leases }) => leases.has(lease)).map(({ ended }) => ended));
  }

  /** Renews these no more. Each stays hidden for so many seconds from now; if that cannot be asked for, until its visibility ends. */
  async setAside(all: readonly { lease: Lease; seconds: number }[]): Promise<void> {
    for (const { lease } of all) {
      this.#leases.delete(lease);
      this.#aside.add(lease);
    }
    const longer = all.filter(({ seconds }) => seconds > this.visibilityMs / 1_000);
    if (longer.length === 0) return;
    const since = momentOf(this.clock);
    const results = await this.#hide(longer);
    for (const [index, { lease, seconds }] of longer.entries())
      if (results[index] === "ok" && !lease.isLost) lease.renewed(since, seconds);
  }

  /** Renews a lease again that was set aside. */
  keep(lease: Lease): void {
    if (!this.#aside.delete(lease)) return;
    this.#leases.add(lease);
    this.#wakeUp.abort();
  }

  /** Forgets a message that was deleted or given back. */
  drop(lease: Lease): void {
    this.#leases.delete(lease);
    this.#aside.delete(lease);
    this.#answer(lease);
  }

  start(): void {
    this.#loops ??= Promise.all([this.#run(), this.#suspends.run(this.#stopping.signal)]);
  }

  /** Ends the loop. Leases that are still held run out by themselves. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wakeUp.abort();
    await this.#loops;
    for (const lease of [...this.#asked.keys()]) this.#answer(lease);
  }

  checkForSuspend(): void {
    this.#suspends.check();
  }

  /** Whether a suspend has left leases that have not been renewed since. */
  areInDoubt(): boolean {
    this.checkForSuspend();
    return [...this.#leases].some(({ isDoubted }) => isDoubted);
  }

  /** Resolves when each of those has been renewed or lost. */
  async certain(): Promise<void> {
    await Promise.all(
      [...this.#leases].filter(({ isDoubted }) => isDoubted).map((lease) => this.renewNow(lease)),
    );
  }

  renewNow(lease: Lease): Promise<void> {
    if (this.#stopping.signal.aborted || !this.#leases.has(lease)) return Promise.resolve();
    const asked = this.#asked.get(lease) ?? Promise.withResolvers<void>();
    this.#asked.set(lease, asked);
    this.#wakeUp.abort();
    return asked.promise;
  }

  #doubtAll(): void {
    // One that was set aside is asked about when it is kept again.
    for (const lease of this.#aside) this.#doubt(lease);
    if (this.#leases.size === 0) return;
    this.#suspendCount += 1;
    this.#log.warn(
      { stage: "lease", leases: this.#leases.size },
      "the machine slept: asking the queue whether the messages are still ours",
    );
    for (const lease of this.#leases) this.#doubt(lease);
    this.#wakeUp.abort();
  }

  #doubt(lease: Lease): void {
    lease.doubt();
    lease.tryAgainAt(this.clock.now());
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.clock.sleep(this.#untilNext(), this.#wakeUp.signal);
      this.#wakeUp = new AbortController();
      if (this.#stopping.signal.aborted) return;
      this.checkForSuspend();
      await this.#renew(this.#due());
    }
  }

  #untilNext(): number {
    const next = Math.min(...[...this.#leases].map(({ dueAt }) => dueAt));
    // Without any lease the loop sleeps on: taking the first message wakes it up.
    return Math.min(Math.max(0, next - this.clock.now()), this.visibilityMs);
  }

  /** Leases that are due, with those that will be soon: a call costs the same for ten as for one. */
  #due(): Lease[] {
    const now = this.clock.now();
    const isDue = (lease: Lease, by: number) => this.#asked.has(lease) || lease.dueAt <= by;
    const leases = [...this.#leases];
    return leases.some((lease) => isDue(lease, now))
      ? leases.filter((lease) => isDue(lease, now + this.visibilityMs / 6))
      : [];
  }

  async #renew(leases: readonly Lease[]): Promise<void> {
    if (leases.length === 0) return;
    for (const lease of leases) lease.endInTime();
    const [since, suspends] = [momentOf(this.clock), this.#suspendCount];
    const asked = leases.map((lease) => ({ lease, seconds: lease.renewalSeconds }));
    const results = await this.#hide(asked);
    this.checkForSuspend();
    for (const [index, { lease, seconds }] of asked.entries()) {
      const isStale = suspends !== this.#suspendCount;
      this.#renewed(lease, results[index]!, { since, seconds, isStale });
    }
  }

  async #hide(all: readonly { lease: Lease; seconds: number }[]): Promise<EntryResult[]> {
    const ended = this.#queue.extend(
      all.map(({ lease, seconds }) => ({ handle: lease.message.handle, seconds })),
    );
    const call = { leases: new Set(all.map(({ lease }) => lease)), ended };
    this.#hiding.add(call);
    try {
      return await ended;
    } finally {
      this.#hiding.delete(call);
    }
  }

  /** `isStale`: a suspend came after the renewal was asked for, so that it says nothing about the time since. */
  #renewed(
    lease: Lease,
    result: EntryResult,
    { since, seconds, isStale }: { since: Moment; seconds: number; isStale: boolean },
  ): void {
    if (result === "failed") this.#failed(lease);
    else if (result === "lost") this.#lose(lease, "Another worker may hold it.");
    else if (seconds === 0) this.#lose(lease, "Its 12 hours are used up.");
    else {
      lease.renewed(since, seconds);
      if (!isStale) this.#answer(lease);
      else this.#doubt(lease);
    }
  }

  /** Tries again until the lease runs out. */
  #failed(lease: Lease): void {
    lease.tryAgainAt(this.clock.now() + Math.min(RETRY_MS, this.visibilityMs / 10));
    if (lease.isOver) this.#lose(lease, "It could not be renewed in time.");
  }

  #lose(lease: Lease, why: string): void {
    if (!this.#leases.has(lease)) return;
    lease.lose(why);
    this.#log.warn({ message: lease.message.id, stage: "lease" }, `lease lost: ${why}`);
  }

  #answer(lease: Lease): void {
    this.#asked.get(lease)?.resolve();
    this.#asked.delete(lease);
  }
}
