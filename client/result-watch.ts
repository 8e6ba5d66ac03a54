// Waits for the results of many jobs in one loop, however many there are. Owns which of them are looked for when; what a look finds is left
// to wait.ts.
import { backoffMs } from "../worker/async/backoff.ts";
import { systemClock } from "../worker/async/clock.ts";
import { KamadoError } from "../worker/errors.ts";
import type { Result as Stored } from "../worker/job/result.ts";
import type { Bucket } from "../worker/storage/bucket.ts";
import { createResults, type Results } from "../worker/storage/results.ts";
import type { Enqueued } from "./contract.ts";
import { lookFor, notReady, ownResult } from "./wait.ts";

/** Until the first result is there. */
const FIRST_LOOKS = { baseMs: 200, maxMs: 2_000 };
/** After that as often as results come, so that slow jobs cost few looks and fast ones do not wait for them. */
const LOOK_MS = { least: 25, most: 2_000 };
/** One look should find so much of what is on its way. */
const SHARE = 1 / 8;
/** Of the newest look in the rate. */
const WEIGHT = 0.3;
/** So many results are looked for at the same time. */
const LOOK_AT_ONCE = 16;

type Waiting = {
  job: Enqueued;
  end: number;
  seconds: number;
  found: (result: Stored) => void;
  failed: (thrown: unknown) => void;
};

/**
 * The jobs that were sent first are looked for in every round, and the further ones as long as some are
 * found; of the others some in turn, so that one that takes long does not hide those behind it.
 */
export class ResultWatch {
  readonly #bucket: Bucket;
  readonly #results: Results;
  readonly #signal: AbortSignal;
  readonly #waiting = new Map<string, Waiting[]>();
  #turn = 0;
  /** Results in a millisecond. */
  #rate = 0;

  constructor(bucket: Bucket, signal: AbortSignal) {
    this.#bucket = bucket;
    this.#results = createResults(bucket);
    this.#signal = signal;
  }

  /** What is stored now; null when there is none. */
  async look(id: string): Promise<Stored | null> {
    const found = await lookFor(id, this.#results, this.#bucket, this.#signal);
    if (found instanceof KamadoError) throw found;
    return found;
  }

  wait(job: Enqueued, seconds = Number.POSITIVE_INFINITY): Promise<Stored> {
    return new Promise((found, failed) => {
      const waiting = { job, seconds, end: performance.now() + seconds * 1_000, found, failed };
      const isIdle = this.#waiting.size === 0;
      // The same input may be there twice.
      this.#waiting.set(job.id, [...(this.#waiting.get(job.id) ?? []), waiting]);
      if (isIdle) void this.#loop();
    });
  }

  async #loop(): Promise<void> {
    for (let round = 1; this.#waiting.size > 0; round++) {
      const began = performance.now();
      await systemClock.sleep(this.#pause(round), this.#signal);
      if (this.#signal.aborted) break;
      const found = await this.#lookAround();
      const rate = found / (performance.now() - began);
      this.#rate = this.#rate === 0 ? rate : (1 - WEIGHT) * this.#rate + WEIGHT * rate;
    }
    for (const id of this.#waiting.keys()) this.#settle(id, ({ failed }) => failed(this.#signal.reason));
  }

  #pause(round: number): number {
    if (this.#rate === 0) return backoffMs(round, FIRST_LOOKS);
    const wanted = Math.max(1, this.#waiting.size * SHARE);
    return Math.min(LOOK_MS.most, Math.max(LOOK_MS.least, wanted / this.#rate));
  }

  async #lookAround(): Promise<number> {
    const ids = [...this.#waiting.keys()];
    let [at, all] = [0, 0];
    for (let found = 1; found > 0 && at < ids.length; at += LOOK_AT_ONCE) {
      found = await this.#lookForAll(ids.slice(at, at + LOOK_AT_ONCE));
      all += found;
    }
    const others = ids.slice(at);
    if (others.length === 0) return all;
    this.#turn = (this.#turn + LOOK_AT_ONCE) % others.length;
    return (
      all + (await this.#lookForAll([...others, ...others].slice(this.#turn, this.#turn + LOOK_AT_ONCE)))
    );
  }

  async #lookForAll(ids: readonly string[]): Promise<number> {
    const found = await Promise.all([...new Set(ids)].map((id) => this.#lookForOne(id)));
    return found.filter(Boolean).length;
  }

  async #lookForOne(id: string): Promise<boolean> {
    try {
      const stored = await lookFor(id, this.#results, this.#bucket, this.#signal);
      if (stored && !(stored instanceof KamadoError)) {
        this.#settle(id, ({ job, found }) => found(ownResult(job, stored) as Stored));
        return true;
      }
      // A job of an input that is there twice was sent later.
      const isOver = ({ end }: Waiting) => end <= performance.now();
      if (this.#waiting.get(id)?.every(isOver))
        this.#settle(id, ({ seconds, failed }) => failed(stored ?? notReady(id, this.#bucket, seconds)));
    } catch (thrown) {
      this.#settle(id, ({ failed }) => failed(thrown));
    }
    return false;
  }

  #settle(id: string, how: (waiting: Waiting) => void): void {
    const all = this.#waiting.get(id) ?? [];
    this.#waiting.delete(id);
    for (const one of all)
      try {
        how(one);
      } catch (thrown) {
        one.failed(thrown);
      }
  }
}
