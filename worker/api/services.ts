// What the jobs API and the pages ask of the worker: its jobs, its dead letters, its destinations. Types only; the API answers with them as
// JSON, the pages show them.
import type { Counts, JobFilter, JobRow, Page, Stats, StoredJob } from "../history/job-row.ts";
import type { NewJob, SentJob } from "../job/send-jobs.ts";

export {
  type Counts,
  hasEnded,
  JOB_STATES,
  type JobFilter,
  type JobRow,
  type JobState,
  type Page,
  type Percentiles,
  type Station,
  type Stats,
} from "../history/job-row.ts";

export type JobDetail = Omit<StoredJob, "jobHash"> & {
  /** Of a running job, if its handler says so: 0..1. */
  progress: { done: number; what?: string } | null;
  /** Of a job that waits. Null when it cannot be told. `startsAt` is estimated from measured rates. */
  line: { position: number | null; startsAt: number | null } | null;
};

export type BulkAction = "cancel" | "replay";
export type BulkOutcome = {
  matched: number;
  done: number;
  failed: { id: string; code: string; message: string }[];
};

export type ReplayOptions = {
  model?: string | undefined;
  /** Whether its result goes to the destinations of the first one, or only to the worker's topic. By default it does unless the first one succeeded. */
  deliver?: boolean | undefined;
};

/** A job that was sent, and whether the same one had been sent before. */
export type Submitted = SentJob & { isNew: boolean };

export type Overview = {
  /** How many jobs of the history are in each state; states without any are absent. */
  states: Record<string, number>;
  /** Since midnight of the worker's clock. */
  today: Stats;
  /** Of the last hour. */
  lastHour: Stats;
  /** Of the queue of jobs; null where it does not say. */
  queue: { waiting: number; inFlight: number; delayed: number } | null;
  /** Changes that the history could not keep since the worker started. */
  dropped: number;
};

/** A change that a page that is open wants to know of. */
export type Change =
  | { is: "job"; job: JobRow }
  | { is: "progress"; id: string; done: number; what?: string }
  /** Changes were left out because the reader was too slow: read again what is shown. */
  | { is: "missed" };

export type JobsService = {
  /** Throws `invalid_input` for a cursor that is none. */
  list(filter: JobFilter, page: { cursor?: string | undefined; limit: number }): Promise<Page<JobRow>>;
  /** Throws `job_not_found`. */
  get(id: string): Promise<JobDetail>;
  /** Up to now, in at most 1,000 steps. */
  counts(of: { since: number; stepMs: number }): Promise<Counts>;
  overview(): Promise<Overview>;
  /** Kinds and tenants that occur in the history. */
  names(): Promise<{ kinds: string[]; tenants: string[] }>;
  /** Of which `input` and `output` are JSON schemas. */
  kinds(): { kind: string; summary: string; input: object; output: object }[];
  /**
   * Refuses what its kind's schema refuses, before it is sent. The same job under the same id is sent once. Throws `invalid_input`,
   * `unknown_kind`, `duplicate_id` for another job with this id, and what SendJobs throws.
   */
  submit(job: NewJob): Promise<Submitted>;
  /** `is`: ended, running or waiting. */
  cancel(id: string): Promise<{ is: string }>;
  /** Sends the job again as a new one, with another model if one is named. Throws `job_not_found`, `input_not_kept`. */
  replay(id: string, options?: ReplayOptions): Promise<SentJob>;
  /** Cancels those of the filter that have not ended, or repeats those that have. */
  bulk(filter: JobFilter, action: BulkAction, options?: ReplayOptions): Promise<BulkOutcome>;
  /** Calls the listener with every change from now on; the function returned ends it. */
  subscribe(listener: (change: Change) => void): () => void;
  /** Resolves with the s3:// address. Throws `file_type_refused`, `input_too_large`. */
  upload(
    file: Uint8Array,
    options?: { name?: string | undefined },
  ): Promise<{ address: string; contentType: string }>;
  /** A file that the job's input names at this field, such as `image`. Throws `job_not_found`, `object_not_found`. */
  input(id: string, name: string): Promise<{ bytes: Uint8Array; contentType: string }>;
};

export type DeadLetterRow = {
  /** Of the message. */
  messageId: string;
  queue: "jobs" | "deliveries";
  job: string;
  kind: string | null;
  at: string | null;
  reason: { code: string; message: string; hint?: string };
  /** Where a dead delivery was to go. */
  to: string | null;
  tries: number | null;
  /** Only when one is shown. */
  body?: string;
};

export type DeadLetterFilter = {
  /** Of messages or jobs. */
  ids?: readonly string[] | undefined;
  queue?: "jobs" | "deliveries" | undefined;
  text?: string | undefined;
};

export type DeadLettersService = {
  list(filter?: DeadLetterFilter): Promise<{ items: DeadLetterRow[]; mayHaveMore: boolean }>;
  /** Throws `dead_letter_not_found`. */
  show(messageId: string): Promise<DeadLetterRow>;
  redrive(filter: DeadLetterFilter): Promise<BulkOutcome>;
  purge(filter: DeadLetterFilter): Promise<BulkOutcome>;
  /** About how many there are, without reading them. A queue that does not say is left out. */
  count(): Promise<number>;
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

export type ApiServices = {
  jobs: JobsService;
  deadLetters: DeadLettersService;
  destinations: DestinationsService;
};
