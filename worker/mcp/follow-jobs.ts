// What is known of jobs that have not ended: this worker's own by their events, and of every job its stored result. Waits for a job's end,
// wherever it runs.
import { backoffMs } from "../async/backoff.ts";
import type { Clock } from "../async/clock.ts";
import { RecentMap } from "../async/recent-map.ts";
import { ERRORS, type ErrorCode } from "../errors.ts";
import type { Result } from "../job/result.ts";
import type { EventFacts, JobEvent, JobEvents } from "../logging/job-events.ts";
import type { Results } from "../storage/results.ts";

export type InHand = { status: "queued" | "running"; progress?: { done: number; what?: string } };
export type Ended = Pick<Result, "id" | "kind" | "status" | "output" | "error"> &
  Partial<Pick<Result, "receipt">>;
type Wait = { forMs: number; signal: AbortSignal; onChange?: ((now: InHand) => void) | undefined };

/** Jobs in hand. Of more than that, the ones that were heard of the longest ago are known by their results only. */
const MOST_JOBS = 5_000;
/** Of the bucket, for jobs that another worker runs. */
const POLL = { baseMs: 250, maxMs: 2_000 };

export class FollowJobs {
  readonly #results: Pick<Results, "find">;
  readonly #clock: Pick<Clock, "now" | "sleep">;
  readonly #inHand = new RecentMap<string, InHand>(MOST_JOBS);
  readonly #listeners = new Map<string, Set<(now: InHand | Ended) => void>>();

  constructor(jobEvents: JobEvents, results: Pick<Results, "find">, clock: Pick<Clock, "now" | "sleep">) {
    this.#results = results;
    this.#clock = clock;
    jobEvents.subscribe((event, facts) => this.#hear(event, facts));
  }

  /** A job that was put on the queue. */
  sent(id: string): void {
    if (this.#inHand.get(id) === undefined) this.#inHand.set(id, { status: "queued" });
  }

  /** Undefined for a job of which nobody here has heard, or that has ended. */
  inHand(id: string): InHand | undefined {
    return this.#inHand.get(id);
  }

  /** Its stored result. Throws `storage_unavailable`. */
  find(id: string, signal?: AbortSignal): Promise<Ended | null> {
    return this.#results.find(id, signal);
  }

  /** Its end; undefined when it has not ended in time, or when the signal fires. */
  async wait(id: string, { forMs, signal, onChange }: Wait): Promise<Ended | undefined> {
    const { promise: heard, resolve } = Promise.withResolvers<Ended>();
    const stop = this.#listen(id, (now) => ("id" in now ? resolve(now) : onChange?.(now)));
    try {
      const end = this.#clock.now() + forMs;
      for (let round = 1; !signal.aborted; round++) {
        // The bucket may not answer just now; its worker's event may come all the same.
        const found = await this.#results.find(id, signal).catch(() => null);
        const left = end - this.#clock.now();
        if (found || left <= 0) return found ?? undefined;
        const pause = this.#clock.sleep(Math.min(left, backoffMs(round, POLL)), signal);
        const ended = await Promise.race([heard, pause]);
        if (ended) return ended;
      }
      return undefined;
    } finally {
      stop();
    }
  }

  #listen(id: string, listener: (now: InHand | Ended) => void): () => void {
    const all = this.#listeners.get(id) ?? new Set();
    this.#listeners.set(id, all.add(listener));
    return () => {
      all.delete(listener);
      if (all.size === 0) this.#listeners.delete(id);
    };
  }

  #hear(event: JobEvent, facts: EventFacts): void {
    const now = this.#stateAfter(event, facts);
    if (!now) return;
    if ("id" in now) this.#inHand.delete(event.job);
    else this.#inHand.set(event.job, now);
    for (const listener of this.#listeners.get(event.job) ?? []) listener(now);
  }

  #stateAfter(event: JobEvent, { result }: EventFacts): InHand | Ended | undefined {
    if (event.stage === "received") return { status: "queued" };
    if (event.stage === "started") return { status: "running" };
    if (event.stage === "progress") {
      const { done, what } = event;
      return { status: "running", progress: { done, ...(what !== undefined && { what }) } };
    }
    if (event.stage !== "ended") return undefined;
    if (result) return result;
    const { outcome, error, kind = "" } = event;
    // Dead-lettered without a result: a worker that knows its kind may run it later, if somebody sends it back.
    if (outcome === "rejected" && error)
      return { id: event.job, kind, status: "failed", error: errorFor(error) };
    // Tried again, or another worker has it.
    return outcome === "ignored" ? undefined : { status: "queued" };
  }
}

const errorFor = (code: ErrorCode) => ({
  code,
  message: "The job was dead-lettered without a result; `kamado dead` shows why.",
  hint: ERRORS[code].hint,
});
