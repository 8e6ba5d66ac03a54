// What is told about jobs while they move: one log line a stage, and the same to whoever watches (a terminal, a page).
import type { Log } from "./log.ts";

export type Stage =
  | "received"
  | "running"
  | "progress"
  | "stored"
  | "delivered"
  | "delivery_failed"
  | "ended";

export type Event = {
  at: number;
  stage: Stage;
  /** The job's id; the message's as long as the body has not been read. */
  job: string;
  kind?: string;
  /** Of `ended`: succeeded, rejected, retry, interrupted, expired. */
  outcome?: string;
  /** Of `progress`: 0..1. */
  done?: number;
  [detail: string]: unknown;
};

export type Listener = (event: Event) => void;

export class JobEvents {
  readonly #log: Log;
  readonly #listeners = new Set<Listener>();

  constructor(log: Log) {
    this.#log = log;
  }

  tell(stage: Stage, event: Omit<Event, "at" | "stage">, message: string): void {
    const level = event.error ? "warn" : stage === "progress" ? "debug" : "info";
    this.#log[level]({ stage, ...event }, message);
    for (const listener of this.#listeners) listener({ at: Date.now(), stage, ...event } as Event);
  }

  /** Calls `listener` for everything from now on; the function returned ends it. */
  watch(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
