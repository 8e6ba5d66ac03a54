// What happens to jobs, as typed events: each becomes a log line, and goes to every listener (health checks, the history, metrics,
// a terminal). A listener that throws disturbs neither the job nor the other listeners.
import type { ErrorCode } from "../errors.ts";
import type { Job } from "../job/envelope.ts";
import type { Outcome } from "../job/outcome.ts";
import type { Receipt, Result } from "../job/result.ts";
import type { Log } from "./log.ts";

type Stages = {
  /** `receives`: how often the queue gave the message out. */
  received: { message: string; receives: number };
  /** The handler begins: the job has its slot. `attempt` counts started runs. */
  started: { attempt: number };
  /** Everything that the job's input points at was fetched. */
  inputs_fetched: { tookMs: number };
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
    /** Of an interrupted run. */
    why?: Extract<Outcome, { is: "interrupted" }>["why"];
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

/** What belongs to an event and is too long for a log line, or not meant for one. Listeners must not change it. */
export type EventFacts = {
  /** With `received`: the job as its sender wrote it, if the body holds one. */
  job?: Job;
  /** With `received`: when the message was sent and received (epoch milliseconds), its group, and the tenant that its job counts for. */
  message?: { sentAt: number | null; receivedAt: number; group: string | null; tenant?: string | null };
  /** With `ended`: the result that is stored or delivered, if there is one. */
  result?: Result;
  /** With `ended`: the event's error in words. */
  error?: { code: ErrorCode; message: string; hint: string };
  /** With `delivered` and `delivery_failed`: the try as the delivery log has it. */
  delivery?: DeliveryTry;
};

/** One try of one delivery. `key` tells destinations apart; `to` is what may be shown of one. */
export type DeliveryTry = {
  at: string;
  key: string;
  to: string;
  attempt: number;
  outcome: "delivered" | "failed" | "refused" | "held back";
  status?: number | undefined;
  error?: string | undefined;
  tookMs: number;
  nextAt?: string | undefined;
};

const NO_FACTS: EventFacts = Object.freeze({});

export type Listener = (event: JobEvent, facts: EventFacts) => void;

/** The event's error code, if it has one. */
export const errorOf = (event: JobEvent): ErrorCode | undefined =>
  "error" in event ? event.error : undefined;

/** Of interest only to whoever looks closely. */
const DETAILS: readonly Stage[] = ["started", "inputs_fetched", "progress"];

export class JobEvents {
  readonly #log: Log;
  readonly #listeners = new Set<Listener>();

  constructor(log: Log) {
    this.#log = log;
  }

  /** Never throws. */
  emit(event: NewJobEvent, message: string, facts: EventFacts = NO_FACTS): void {
    const stamped = { at: Date.now(), ...event };
    const level = errorOf(stamped) ? "warn" : DETAILS.includes(event.stage) ? "debug" : "info";
    this.#log[level](event, message);
    for (const listener of this.#listeners) this.#call(listener, stamped, facts);
  }

  /** Calls `listener` with everything from now on; the function returned ends it. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #call(listener: Listener, event: JobEvent, facts: EventFacts): void {
    try {
      listener(event, facts);
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
