// The last call about a message: it is deleted, or given back. Calls are gathered into batches; one that fails is tried again
// until the lease ends.
import type { Clock } from "../async/clock.ts";
import type { Log } from "../logging/log.ts";
import type { EntryResult, Queue } from "../queue/queue.ts";
import type { Heartbeat } from "./heartbeat.ts";
import type { Lease } from "./lease.ts";

/** What becomes of a message once the work on it is over. `leave`: nothing is called, the queue delivers it again. */
export type Ending = "delete" | "leave" | { releaseAfterSeconds: number };

/** A call waits this long for others to share its batch. The slot is free meanwhile. */
const LINGER_MS = 50;
const BATCH = 10;
const RETRY_MS = 1_000;

type Ack = { lease: Lease; releaseAfterSeconds: number | null; done: () => void };

export class Acks {
  readonly #queue: Queue;
  readonly #heartbeat: Pick<Heartbeat, "drop" | "retire">;
  readonly #clock: Clock;
  readonly #log: Log;
  #gathered: Ack[] = [];
  #timer: Promise<void> | undefined;
  #flushNow = new AbortController();
  readonly #open = new Set<Promise<void>>();

  constructor(options: {
    queue: Queue;
    heartbeat: Pick<Heartbeat, "drop" | "retire">;
    clock: Clock;
    log: Log;
  }) {
    this.#queue = options.queue;
    this.#heartbeat = options.heartbeat;
    this.#clock = options.clock;
    this.#log = options.log;
  }

  /** Resolves when the message is deleted, or when its lease ended and the queue will deliver it again. */
  delete(lease: Lease): Promise<void> {
    return this.#add(lease, null);
  }

  /** Gives the message back; others see it after so many seconds. Resolves as `delete` does. */
  release(lease: Lease, releaseAfterSeconds: number): Promise<void> {
    return this.#add(lease, releaseAfterSeconds);
  }

  /** Resolves when every call asked for so far has ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#open);
  }

  #add(lease: Lease, releaseAfterSeconds: number | null): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#open.add(promise);
    void promise.then(() => this.#open.delete(promise));
    this.#gathered.push({ lease, releaseAfterSeconds, done: resolve });
    if (this.#gathered.length >= BATCH) this.#flushNow.abort();
    this.#timer ??= this.#clock.sleep(LINGER_MS, this.#flushNow.signal).then(() => this.#flush());
    return promise;
  }

  async #flush(): Promise<void> {
    const batch = this.#gathered;
    this.#gathered = [];
    this.#timer = undefined;
    this.#flushNow = new AbortController();
    await Promise.all([
      this.#carryOut(batch.filter((ack) => ack.releaseAfterSeconds === null)),
      this.#carryOut(batch.filter((ack) => ack.releaseAfterSeconds !== null)),
    ]);
  }

  async #carryOut(batch: readonly Ack[]): Promise<void> {
    for (let pending = batch; pending.length > 0; ) {
      const ours = await this.#stillOurs(pending);
      const results = ours.length === 0 ? [] : await this.#call(ours);
      pending = ours.filter((ack, index) => {
        const isTriedAgain = results[index] === "failed" && !ack.lease.isOver;
        if (!isTriedAgain) this.#finish(ack, results[index]!);
        return isTriedAgain;
      });
      if (pending.length > 0) await this.#clock.sleep(RETRY_MS);
    }
  }

  /** A message that another worker may hold by now is not ours to delete or to give back. */
  async #stillOurs(batch: readonly Ack[]): Promise<Ack[]> {
    const held = await Promise.all(batch.map(({ lease }) => lease.held || lease.confirm()));
    for (const [index, ack] of batch.entries()) if (!held[index]) this.#finish(ack, "lost");
    return batch.filter((_, index) => held[index]);
  }

  async #call(batch: readonly Ack[]): Promise<EntryResult[]> {
    if (batch[0]!.releaseAfterSeconds === null)
      return this.#queue.remove(batch.map(({ lease }) => lease.message.handle));
    await Promise.all(batch.map(({ lease }) => this.#heartbeat.retire(lease)));
    return this.#queue.extend(
      batch.map(({ lease, releaseAfterSeconds }) => ({
        handle: lease.message.handle,
        // The 12 hours count from the receive; past them the call would be refused.
        seconds: Math.min(releaseAfterSeconds!, Math.max(0, lease.budgetSeconds)),
      })),
    );
  }

  #finish({ lease, releaseAfterSeconds, done }: Ack, result: EntryResult): void {
    this.#heartbeat.drop(lease);
    if (result !== "ok") {
      const what = releaseAfterSeconds === null ? "delete" : "release";
      const text = `${what} ${result}; the queue will deliver it again`;
      this.#log.warn({ message: lease.message.id, stage: what }, text);
    }
    done();
  }
}
