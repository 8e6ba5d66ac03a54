// What the jobs API and the pages ask of the worker: its jobs, its dead letters, its destinations. Types only; the API answers with them as
// JSON, the pages show them.
import type { Destination, Job } from "../job/envelope.ts";
import type { Receipt } from "../job/result.ts";
import type { NewJob, SentJob } from "../job/send-jobs.ts";
import type { DeliveryTry } from "../logging/job-events.ts";

export const JOB_STATES = [
  /** Sent through this worker, and not received by it yet. */
  "queued",
  /** Received, and waiting for a slot. */
  "waiting",
  "running",
  /** Its result is stored and on its way. */
  "delivering",
  /** Its last attempt failed, and it comes again. */
  "retrying",
  "succeeded",
  "failed",
  "expired",
  "canceled",
] as const;
export type JobState = (typeof JOB_STATES)[number];

/** A row of a list. Times are epoch milliseconds. */
export type JobRow = {
  id: string;
  kind: string;
  state: JobState;
  /** Null when the sender named none. */
  tenant: string | null;
  /** The input in one line, cut. */
  summary: string;
  sentAt: number | null;
  receivedAt: number | null;
  startedAt: number | null;
  endedAt: number | null;
  attempts: number;
  /** Of a failed job, or of the last attempt. */
  error: { code: string; message: string } | null;
  isDeadLettered: boolean;
  model: string | null;
  promptTokens: number;
  completionTokens: number;
  /** Of the run, where the machine's watts could be read. */
  joules: number | null;
};

/** One part of a job's time, for its waterfall: `queue`, `wait`, `inputs`, `run`, `store`, `deliver`. */
export type Station = { name: string; at: number; tookMs: number; attempt?: number };

export type JobDetail = JobRow & {
  /** Undefined when it was too long to be kept, which `inputNote` says. */
  input: unknown;
  inputNote: string | null;
  output: unknown;
  outputNote: string | null;
  error: { code: string; message: string; hint?: string } | null;
  receipt: Receipt | null;
  deliver: readonly Destination[];
  policy: Job["policy"];
  stations: Station[];
  deliveries: DeliveryTry[];
  /** Of a running job, if its handler says so: 0..1. */
  progress: { done: number; what?: string } | null;
  /** Of a job that waits. Null when it cannot be told. `startsAt` is estimated from measured rates. */
  line: { position: number | null; startsAt: number | null } | null;
  /** The job that this one repeats, and the jobs that repeat this one. */
  replayOf: string | null;
  replays: string[];
};

export type JobFilter = {
  kind?: string | undefined;
  /** Any of these. */
  states?: readonly JobState[] | undefined;
  tenant?: string | undefined;
  /** Words that must all be in id, kind, input, output or error. */
  text?: string | undefined;
  /** Of the time at which it was sent or received; epoch milliseconds. */
  since?: number | undefined;
  until?: number | undefined;
};

export type Page<T> = { items: T[]; next: string | null };

export type BulkAction = "cancel" | "replay";
export type BulkOutcome = {
  matched: number;
  done: number;
  failed: { id: string; code: string; message: string }[];
};

/** What happened from `since` on, in equal steps: one number for each step. */
export type Counts = {
  since: number;
  stepMs: number;
  succeeded: number[];
  failed: number[];
  promptTokens: number[];
  completionTokens: number[];
  /** Busy slots, on average. */
  busy: number[];
};

/** A change that a page that is open wants to know of. */
export type Change =
  | { is: "job"; job: JobRow }
  | { is: "progress"; id: string; done: number; what?: string }
  /** Changes were left out because the reader was too slow: read again what is shown. */
  | { is: "missed" };

export type JobsService = {
  list(filter: JobFilter, page: { cursor?: string | undefined; limit: number }): Promise<Page<JobRow>>;
  /** Throws `job_not_found`. */
  get(id: string): Promise<JobDetail>;
  counts(filter: { since: number; stepMs: number }): Promise<Counts>;
  kinds(): { kind: string; summary: string; input: object; output: object }[];
  /** Refuses what its kind's schema refuses, before it is sent. */
  submit(job: NewJob): Promise<SentJob>;
  cancel(id: string): Promise<{ is: string }>;
  /** Sends the job again as a new one, with another model if one is named. */
  replay(id: string, options?: { model?: string | undefined }): Promise<SentJob>;
  bulk(filter: JobFilter, action: BulkAction): Promise<BulkOutcome>;
  /** Calls the listener with every change from now on; the function returned ends it. */
  subscribe(listener: (change: Change) => void): () => void;
  upload(file: Uint8Array, options: { name: string; contentType: string }): Promise<string>;
};

export type DeadLetterRow = {
  /** Of the message. */
  messageId: string;
  queue: "jobs" | "deliveries";
  job: string;
  kind: string | null;
  at: string | null;
  reason: { code: string; message: string };
  /** Where a dead delivery was to go. */
  to: string | null;
  tries: number | null;
  /** Only when one is shown. */
  body?: string;
};

export type DeadLetterFilter = { ids?: readonly string[]; queue?: "jobs" | "deliveries"; text?: string };

export type DeadLettersService = {
  list(filter?: DeadLetterFilter): Promise<{ items: DeadLetterRow[]; mayHaveMore: boolean }>;
  /** Throws `dead_letter_not_found`. */
  show(messageId: string): Promise<DeadLetterRow>;
  redrive(filter: DeadLetterFilter): Promise<BulkOutcome>;
  purge(filter: DeadLetterFilter): Promise<BulkOutcome>;
};

export type DestinationRow = {
  key: string;
  to: string;
  state: "on" | "paused" | "off";
  /** Why it is paused (its circuit is open) or off (its receiver answered 410). */
  reason: string | null;
  since: string | null;
  /** Of the history. */
  delivered: number;
  failed: number;
  lastAt: number | null;
};

export type DestinationsService = {
  list(): Promise<DestinationRow[]>;
  /** Turns it on again and sends what is dead-lettered for it back. */
  resend(key: string): Promise<BulkOutcome>;
};
