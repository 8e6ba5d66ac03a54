// What the history tells of a job, as lists, pages and the API show it. Types only.
import type { Destination, Job } from "../job/envelope.ts";
import type { Receipt } from "../job/result.ts";
import type { DeliveryTry } from "../logging/job-events.ts";

export const JOB_STATES = [
  /** Sent through this worker, and not received by it yet; or given back to the queue without an attempt. */
  "queued",
  /** Received, and waiting for a slot. */
  "waiting",
  "running",
  /** Its result is stored and on its way. */
  "delivering",
  /** Its last attempt failed, or its worker ended during it, and it comes again. */
  "retrying",
  "succeeded",
  "failed",
  "expired",
  "canceled",
] as const;
export type JobState = (typeof JOB_STATES)[number];

const ENDED: readonly JobState[] = ["succeeded", "failed", "expired", "canceled"];
export const hasEnded = (state: JobState): boolean => ENDED.includes(state);

export type JobError = { code: string; message: string; hint?: string };

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
  error: JobError | null;
  isDeadLettered: boolean;
  model: string | null;
  promptTokens: number;
  completionTokens: number;
  /** Of the run, where the machine's watts could be read. */
  joules: number | null;
};

/** One part of a job's time, for its waterfall: `queue`, `wait`, `inputs`, `run`, `store`, `deliver`. */
export type Station = { name: string; at: number; tookMs: number; attempt?: number };

/** Everything that the history has of one job. */
export type StoredJob = JobRow & {
  /** Undefined when it was too long to be kept, which `inputNote` says. */
  input: unknown;
  inputNote: string | null;
  output: unknown;
  outputNote: string | null;
  receipt: Receipt | null;
  deliver: readonly Destination[];
  policy: Job["policy"];
  stations: Station[];
  deliveries: DeliveryTry[];
  /** The job that this one repeats, and the jobs that repeat this one. */
  replayOf: string | null;
  replays: string[];
  /** Of the job as it was sent through this worker; null for others. */
  jobHash: string | null;
};

export type JobFilter = {
  kind?: string | undefined;
  /** Any of these. */
  states?: readonly JobState[] | undefined;
  tenant?: string | undefined;
  /** Words that must all be in id, kind, tenant, input, output or error. */
  text?: string | undefined;
  /** Of the time at which it was sent or received; epoch milliseconds. */
  since?: number | undefined;
  until?: number | undefined;
};

export type Page<T> = { items: T[]; next: string | null };

/** What happened from `since` on, in equal steps: one number for each step. */
export type Counts = {
  since: number;
  stepMs: number;
  succeeded: number[];
  /** Expired and canceled jobs are in neither. */
  failed: number[];
  promptTokens: number[];
  completionTokens: number[];
  /** Busy slots, on average. */
  busy: number[];
};

/** Of the jobs that ended in a time. */
export type Stats = {
  since: number;
  succeeded: number;
  failed: number;
  promptTokens: number;
  completionTokens: number;
  /** Milliseconds: how long the runs took, and from sent to ended. Null without any. */
  runMs: Percentiles | null;
  totalMs: Percentiles | null;
};
export type Percentiles = { p50: number; p95: number; p99: number };
