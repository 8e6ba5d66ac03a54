// All messages that are ours. One loop renews them in batches, in time; what cannot be renewed is lost. After a sleep
// all of them are in doubt, and renewed before anything else.
import type { Clock } from "../async/clock.ts";
import type { Log } from "../logging/log.ts";
import type { Message, Queue } from "../queue/queue.ts";
import { Lease } from "./lease.ts";
import { type Moment, momentOf, SuspendDetector } from "./suspend-detector.ts";

/** After a failed renewal the next try comes this soon; sooner where the visibility is short. */
const RETRY_MS = 1_000;

export class Heartbeat {
  readonly clock: Clock;
  readonly visibilityMs: number;
  readonly #queue: Queue;
  readonly #log: Log;
  readonly #held = new Set<Lease>();
  readonly #asked = new Map<Lease, PromiseWithResolvers<void>>();
  readonly #stopping = new AbortController();
  readonly #wake: SuspendDetector;
  #hurry = new AbortController();
  #wakes = 0;
  #loops: Promise<unknown> | undefined;

  constructor(options: { queue: Queue; visibilitySeconds: number; clock: Clock; log: Log }) {
    this.#queue = options.queue;
    this.clock = options.clock;
    this.#log = options.log;
    this.visibilityMs = options.visibilitySeconds * 1_000;
    this.#wake = new SuspendDetector({
      clock: this.clock,
      everyMs: this.visibilityMs / 3,
      onWake: () => this.#afterSleep(),
    });
  }

  /** Takes a received message. `since` is when the receive was asked for: the lease cannot have begun earlier. */
  take(message: Message, since: Moment): Lease {
    const lease = new Lease(this, message, since);
    this.#held.add(lease);
    // The loop sleeps until the next one is due, and this may be it.
    if (this.#held.size === 1 || lease.dueAt <= this.clock.now()) this.#hurry.abort();
    return lease;
  }

  /** Forgets a message that was deleted or given back. */
  drop(lease: Lease): void {
    this.#held.delete(lease);
    this.#answer(lease);
  }

  get size(): number {
    return this.#held.size;
  }

  start(): void {
    this.#loops ??= Promise.all([this.#run(), this.#wake.run(this.#stopping.signal)]);
  }

  /** Ends the loop. What is still held runs out by itself. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#hurry.abort();
    await this.#loops;
    for (const lease of [...this.#asked.keys()]) this.#answer(lease);
  }

  look(): void {
    this.#wake.look();
  }

  /** Whether a sleep has left some that nobody has asked about since. */
  areInDoubt(): boolean {
    this.look();
    return [...this.#held].some(({ isDoubted }) => isDoubted);
  }

  /** Resolves when each of those has been renewed or lost. */
  async certain(): Promise<void> {
    await Promise.all([...this.#held].filter(({ isDoubted }) => isDoubted).map((one) => this.renewNow(one)));
  }

  renewNow(lease: Lease): Promise<void> {
    if (this.#stopping.signal.aborted || !this.#held.has(lease)) return Promise.resolve();
    const asked = this.#asked.get(lease) ?? Promise.withResolvers<void>();
    this.#asked.set(lease, asked);
    this.#hurry.abort();
    return asked.promise;
  }

  #afterSleep(): void {
    if (this.#held.size === 0) return;
    this.#wakes += 1;
    this.#log.warn(
      { stage: "lease", leases: this.#held.size },
      "the machine slept: asking whether they are ours",
    );
    for (const lease of this.#held) {
      lease.doubt();
      lease.tryAgainAt(this.clock.now());
    }
    this.#hurry.abort();
  }

  async #run(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await this.clock.sleep(this.#untilNext(), this.#hurry.signal);
      this.#hurry = new AbortController();
      if (this.#stopping.signal.aborted) return;
      this.look();
      await this.#renew(this.#due());
    }
  }

  #untilNext(): number {
    const next = Math.min(...[...this.#held].map(({ dueAt }) => dueAt));
    // Nothing is held: whoever takes the first message ends the sleep.
    return Math.min(Math.max(0, next - this.clock.now()), this.visibilityMs);
  }

  /** What is due, with what will be soon: a call costs the same for ten as for one. */
  #due(): Lease[] {
    const now = this.clock.now();
    const isDue = (lease: Lease, by: number) => this.#asked.has(lease) || lease.dueAt <= by;
    const held = [...this.#held];
    return held.some((one) => isDue(one, now))
      ? held.filter((one) => isDue(one, now + this.visibilityMs / 6))
      : [];
  }

  async #renew(leases: readonly Lease[]): Promise<void> {
    if (leases.length === 0) return;
    for (const lease of leases) lease.endInTime();
    const [since, wakes] = [momentOf(this.clock), this.#wakes];
    const entries = leases.map(({ message, renewalSeconds }) => ({
      receipt: message.receipt,
      seconds: renewalSeconds,
    }));
    const results = await this.#queue.extend(entries);
    this.look();
    leases.forEach((lease, index) => {
      const { seconds } = entries[index]!;
      if (results[index] === "failed") this.#failed(lease);
      else if (results[index] === "lost") this.#lose(lease, "Another worker may hold it.");
      else if (seconds === 0) this.#lose(lease, "Its 12 hours are used up.");
      else this.#renewed(lease, since, seconds, wakes);
    });
  }

  #renewed(lease: Lease, since: Moment, seconds: number, wakes: number): void {
    lease.renewed(since, seconds);
    // It was asked for before the sleep and says nothing about the time since.
    if (wakes !== this.#wakes) {
      lease.doubt();
      lease.tryAgainAt(this.clock.now());
    } else this.#answer(lease);
  }

  /** Tried again until the lease runs out. */
  #failed(lease: Lease): void {
    lease.tryAgainAt(this.clock.now() + Math.min(RETRY_MS, this.visibilityMs / 10));
    if (lease.isOver) this.#lose(lease, "It could not be renewed in time.");
  }

  #lose(lease: Lease, why: string): void {
    if (!this.#held.has(lease)) return;
    lease.lose(why);
    this.#log.warn({ message: lease.message.id, stage: "lease" }, `lease lost: ${why}`);
  }

  #answer(lease: Lease): void {
    this.#asked.get(lease)?.resolve();
    this.#asked.delete(lease);
  }
}
