// The port by which the worker's own parts (jobs API, schedules, batches, MCP) put jobs on the queue, as any sender does. The client
// is behind it.
import type { KamadoError } from "../errors.ts";
import type { Destination, Job } from "./envelope.ts";

export type NewJob = {
  /** The same job sent again under its id runs once. By default a new UUID. */
  id?: string | undefined;
  kind: string;
  input: unknown;
  /** By default the worker's topic. */
  deliver?: readonly Destination[] | undefined;
  policy?: Job["policy"] | undefined;
  /** MessageGroupId of the message. */
  group?: string | undefined;
  /** The trace that the job belongs to. Throws `invalid_input` for one that is not valid; trace-context.ts reads those of others. */
  traceparent?: string | undefined;
  tracestate?: string | undefined;
};

/** A job that the queue has. `jobHash` tells it from another job under the same id. */
export type SentJob = { id: string; kind: string; messageId: string; jobHash: string };

export type SendJobs = {
  /** Throws `invalid_input`, `queue_unavailable`, `storage_unavailable`, `message_rejected`. */
  send(job: NewJob): Promise<SentJob>;
  /** One outcome for each, in order; one that fails costs only itself. */
  sendMany(
    jobs: readonly NewJob[],
  ): Promise<(({ ok: true } & SentJob) | { ok: false; id: string | undefined; error: KamadoError })[]>;
  /** Stops the job if it runs, and prevents its start if it waits or has not arrived yet. */
  cancel(id: string): Promise<{ is: string }>;
  /** Uploads an input, and resolves with its s3:// address. */
  upload(file: Uint8Array | Blob, options?: Upload): Promise<string>;
};

type Upload = { id?: string | undefined; name?: string | undefined; contentType?: string | undefined };
