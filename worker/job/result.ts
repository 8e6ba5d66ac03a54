// The result of a job: what results/<id>.json holds and what a delivery carries.
import { z } from "zod";
import type { KamadoError } from "../errors.ts";
import { JobId } from "./envelope.ts";
import { wellFormed } from "./json.ts";

/** A result whose JSON has more bytes is delivered as a pointer to the stored object. */
const INLINE_LIMIT = 128 * 1024;

const count = z.int().catch(0);
const duration = z.number().catch(0);

/**
 * Read tolerantly, as the result is: another version may have stored more fields, which are dropped, or fewer. What it says decides
 * nothing, so no result is lost because its receipt is incomplete.
 */
export const Receipt = z.object({
  model: z.string().nullable().catch(null).describe("The model that answered; null when no model was asked."),
  engine: z.string().nullable().catch(null).describe("The engine that ran the model."),
  requests: z
    .int()
    .optional()
    .catch(undefined)
    .describe("How many requests the model answered; absent in older results."),
  unansweredRequests: z
    .int()
    .optional()
    .catch(undefined)
    .describe(
      "How many requests were cut before their answer, because the job ended. promptTokens holds an estimate for them, completionTokens nothing.",
    ),
  promptTokens: count,
  cachedTokens: count.describe("How many of promptTokens came from the cache."),
  completionTokens: count,
  queuedMs: duration.describe("From sent to received."),
  inferenceMs: duration.describe("From the first question to the last answer."),
  attempts: count.describe("How many runs of the handler were started, this one included."),
  runMs: z.number().optional().catch(undefined).describe("How long this run took; absent in older results."),
  repairs: count.describe("How often the model had to be asked again because its answer did not fit."),
  truncated: z
    .int()
    .optional()
    .catch(undefined)
    .describe("How many answers were cut off at their token limit; absent when none was."),
  joules: z
    .number()
    .optional()
    .catch(undefined)
    .describe(
      "The energy of GPU and CPU in this run, shared by the jobs that ran at the same time; absent where no watts can be read.",
    ),
  worker: z.string().catch(""),
  traceId: z
    .string()
    .optional()
    .catch(undefined)
    .describe("Of the trace that the job belongs to; absent when it belongs to none."),
});
export type Receipt = z.output<typeof Receipt>;

export const Result = z.object({
  id: JobId,
  kind: z.string(),
  status: z.enum(["succeeded", "failed", "expired", "canceled"]),
  output: z.unknown().optional(),
  outputRef: z
    .string()
    .optional()
    .describe("s3:// address of the whole result, when it is too long for a delivery."),
  error: z
    .object({
      code: z.string(),
      message: z.string(),
      hint: z.string().optional(),
      retryAt: z
        .string()
        .optional()
        .describe(
          "From then on the same job may succeed, sent again under its id. Absent where no time is known.",
        ),
    })
    .optional(),
  receipt: Receipt.catch(() => Receipt.parse({})),
  jobHash: z
    .string()
    .optional()
    .describe(
      "Of the job it belongs to; only where it is stored, and missing where an older version stored it.",
    ),
});
export type Result = z.output<typeof Result>;

export function succeeded(id: string, kind: string, output: unknown, receipt: Receipt): Result {
  // A handler that cuts texts may cut an emoji.
  return { id, kind, status: "succeeded", output: wellFormed(output), receipt };
}

export function failed(id: string, kind: string, error: KamadoError, receipt: Receipt): Result {
  const status = error.code === "expired" ? "expired" : error.code === "canceled" ? "canceled" : "failed";
  return {
    id,
    kind,
    status,
    error: {
      code: error.code,
      message: error.message,
      hint: error.hint,
      ...(error.detail?.retryAt !== undefined && { retryAt: error.detail.retryAt }),
    },
    receipt,
  };
}

/**
 * What tells a delivery of a job from another one to the same destination. A job that failed and was sent back may succeed, and that
 * is news. A job that was refused because of its id is another job: its delivery must not count as that of the first.
 */
export const eventOf = ({ status, error }: Pick<Result, "status" | "error">): string =>
  error?.code === "duplicate_id" ? "duplicate_id" : status;

/** The key of a job's stored result. */
export const resultKey = (id: string) => `results/${id}.json`;

/** The result as a delivery carries it: a long one has `outputRef` instead of `output`. */
export function forDelivery({ jobHash: _, ...result }: Result, storedAt: string): Result {
  if (Buffer.byteLength(JSON.stringify(result)) <= INLINE_LIMIT) return result;
  const { output, ...rest } = result;
  return { ...rest, outputRef: storedAt };
}
