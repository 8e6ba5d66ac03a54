// What happens to jobs, as typed events: each becomes a log line, and goes to every listener (health checks, the console, a
// terminal). A listener that throws disturbs neither the job nor the other listeners.
import type { ErrorCode } from "../errors.ts";
import type { Outcome } from "../job/outcome.ts";
import type { Receipt, Result } from "../job/result.ts";
import type { Log } from "./log.ts";

type Stages = {
  /** `receives`: how often the queue gave the message out. */
  received: { message: string; receives: number };
  /** `done` is 0..1. */
  progress: { done: number; what?: string };
  stored: { status: Result["status"] };
  /** `result`: how the job ended that the receiver now knows of. */
  delivered: { to: string; attempt: number; result: Result["status"] };
  /** `nextAt` when it will be tried again at a known time. */
  delivery_failed: { error: ErrorCode; to?: string; attempt?: number; nextAt?: string };
  /** The job's result, or its dead letter, could not be written; the message comes back. */
  store_failed: { error: ErrorCode };
  dead_letter_failed: { error: ErrorCode };
  /**
   * `ending` says what becomes of the message. A job that is given up has been `rejected` with `attempts_exhausted`; `lastError`
   * is what its last attempt met.
   */
  ended: {
    outcome: Outcome["is"];
    ending: string;
    error?: ErrorCode;
    lastError?: ErrorCode;
    /** The bucket that could not be reached, if the error names one. */
    bucket?: string;
    receipt?: Receipt;
    /** Where a handler's own code failed. */
    stack?: string;
  };
};

export type Stage = keyof Stages;

/** `job` is the job's id; the message's as long as its body has not been read. */
export type NewJobEvent = {
  [S in Stage]: { stage: S; job: string; kind?: string } & Stages[S];
}[Stage];

/** `at`: epoch milliseconds. */
export type JobEvent = NewJobEvent & { at: number };

export type Listener = (event: JobEvent) => void;

/** The event's error code, if it has one. */
export const errorOf = (event: JobEvent): ErrorCode | undefined =>
  "error" in event ? event.error : undefined;

export class JobEvents {
  readonly #log: Log;
  readonly #listeners = new Set<Listener>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Never throws. */
  emit(event: NewJobEvent, message: string): void {
    const stamped = { at: Date.now(), ...event };
    const level = errorOf(stamped) ? "warn" : event.stage === "progress" ? "debug" : "info";
    this.#log[level](event, message);
    for (const listener of this.#listeners) this.#call(listener, stamped);
  }

  /** Calls `listener` with everything from now on; the function returned ends it. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #call(listener: Listener, event: JobEvent): void {
    try {
      listener(event);
    } catch (thrown) {
      this.#log.error({ stage: event.stage, job: event.job, err: thrown }, "a listener to job events failed");
    }
  }
}

/** How a job ended, in the words of its result. A job that failed may be tried again. */
export function outcomeWords({ outcome, error }: { outcome: string; error?: string }): string {
  const words = outcome === "rejected" ? "failed" : outcome === "retry" ? "tried again" : outcome;
  return error === undefined || error === outcome ? words : `${words} (${error})`;
}
