// Leases: which messages are ours, and until when. One loop renews them all; what cannot be renewed is lost, and a
// lost lease aborts its job. Deleting and giving back belong to acks.ts.

import type { Clock } from "../clock.ts";
import { KamadoError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Message, Queue } from "../queue/queue.ts";

/** SQS ends every receipt 12 hours after the receive, renewed or not. A minute is kept for the last effects. */
const BUDGET_MS = (12 * 3_600 - 60) * 1_000;
/** After a failed renewal the next try comes this soon. */
const RETRY_MS = 1_000;

/** One message that is ours until `expires`. It is kept in both clocks: a machine that slept knows it by the wall clock. */
export class Lease {
  readonly message: Message;
  readonly receivedWall: number;
  readonly #lost = new AbortController();
  readonly #leases: Leases;
  readonly #budgetEnd: number;
  #expires: { now: number; wall: number };

  constructor(leases: Leases, message: Message, since: { now: number; wall: number }, receivedWall: number) {
    this.#leases = leases;
    this.message = message;
    this.receivedWall = receivedWall;
    this.#budgetEnd = since.now + BUDGET_MS;
    this.#expires = { now: since.now + leases.visibilityMs, wall: since.wall + leases.visibilityMs };
  }

  /** Fires with `lease_lost` when the message is no longer ours. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Whether the message is certainly still ours. */
  get held(): boolean {
    const { clock } = this.#leases;
    return !this.#lost.signal.aborted && clock.now() < this.#expires.now && clock.wall() < this.#expires.wall;
  }

  /** Asks the queue when we cannot be certain. Before every effect: what another worker may hold is not ours to finish. */
  async confirm(): Promise<boolean> {
    if (!this.held && !this.#lost.signal.aborted) await this.#leases.renew([this]);
    return this.held;
  }

  /** What is left of the 12 hours. Seconds. */
  get budgetSeconds(): number {
    return Math.max(0, Math.floor((this.#budgetEnd - this.#leases.clock.now()) / 1_000));
  }

  /** How long the next renewal may hide the message; 0 when the 12 hours are used up. Seconds. */
  get renewalSeconds(): number {
    return Math.min(this.#leases.visibilityMs / 1_000, this.budgetSeconds);
  }

  renewed(since: { now: number; wall: number }, seconds: number): void {
    this.#expires = { now: since.now + seconds * 1_000, wall: since.wall + seconds * 1_000 };
  }

  /** Ends the lease from our side: the job is aborted, the message left to the queue. */
  lose(why: string): void {
    this.#leases.drop(this);
    if (!this.#lost.signal.aborted) this.#lost.abort(new KamadoError("lease_lost", why));
  }
}

export class Leases {
  readonly clock: Clock;
  readonly visibilityMs: number;
  readonly #queue: Queue;
  readonly #log: Log;
  readonly #held = new Set<Lease>();
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(options: { queue: Queue; visibilitySeconds: number; clock: Clock; log: Log }) {
    this.#queue = options.queue;
    this.clock = options.clock;
    this.#log = options.log;
    this.visibilityMs = options.visibilitySeconds * 1_000;
  }

  /** Takes a received message. `since` is when the receive was asked for: the lease cannot have begun earlier. */
  take(message: Message, since: { now: number; wall: number }): Lease {
    const lease = new Lease(this, message, since, this.clock.wall());
    this.#held.add(lease);
    return lease;
  }

  /** Forgets a message that was deleted or given back. */
  drop(lease: Lease): void {
    this.#held.delete(lease);
  }

  get size(): number {
    return this.#held.size;
  }

  start(): void {
    this.#loop ??= this.#run();
  }

  /** Ends the loop. What is still held runs out by itself. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      await this.clock.sleep(this.visibilityMs / 3, signal);
      if (!signal.aborted) await this.renew([...this.#held]);
    }
  }

  /** Renews now. Entries that fail are tried again until their lease runs out; then they are lost. */
  async renew(leases: readonly Lease[]): Promise<void> {
    let pending = leases.filter((lease) => !lease.signal.aborted);
    while (pending.length > 0) {
      pending = await this.#renewOnce(pending);
      for (const lease of pending.filter((one) => !one.held))
        this.#lose(lease, "It could not be renewed in time.");
      pending = pending.filter((lease) => lease.held);
      if (pending.length > 0) await this.clock.sleep(RETRY_MS, this.#stopping.signal);
      if (this.#stopping.signal.aborted) return;
    }
  }

  /** One round of calls; resolves with the leases whose renewal failed and may be tried again. */
  async #renewOnce(leases: readonly Lease[]): Promise<Lease[]> {
    const since = { now: this.clock.now(), wall: this.clock.wall() };
    const seconds = leases.map((lease) => lease.renewalSeconds);
    const results = await this.#queue.extend(
      leases.map(({ message }, index) => ({ receipt: message.receipt, seconds: seconds[index]! })),
    );
    return leases.filter((lease, index) => {
      if (results[index] === "failed") return true;
      if (results[index] === "ok" && seconds[index]! > 0) lease.renewed(since, seconds[index]!);
      else
        this.#lose(
          lease,
          results[index] === "lost" ? "Another worker may hold it." : "Its 12 hours are used up.",
        );
      return false;
    });
  }

  #lose(lease: Lease, why: string): void {
    lease.lose(why);
    this.#log.warn({ message: lease.message.id, station: "lease" }, `lease lost: ${why}`);
  }
}
