// OpenAI's Files and Batch APIs of a worker: `/v1/files` and `/v1/batches`. Code that was written for OpenAI runs with its base_url set to
// the worker. Who is let in is left to the server of the page.
import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { z } from "zod";
import type { Log } from "../logging/log.ts";
import { ApiError, errorAnswer } from "./api-error.ts";
import type { Batch, BatchTime, StoredFile } from "./batch-store.ts";
import type { Batches } from "./batches.ts";
import { readUpload } from "./upload.ts";

const ENDPOINTS = ["/v1/chat/completions", "/v1/completions"] as const;
const HOUR_SECONDS = 3_600;
/** As long as a queue keeps a message. */
const MOST_HOURS = 336;
const MAX_JSON_BYTES = 64 * 1024;

const window = `completion_window must be "24h", or other hours, "1h" to "${MOST_HOURS}h".`;
const NewBatch = z.object({
  input_file_id: z.string(),
  endpoint: z.enum(ENDPOINTS, {
    error: ({ input }) =>
      `endpoint must be one of ${ENDPOINTS.join(", ")}${typeof input === "string" ? `; ${input} is not run in batches here` : ""}.`,
  }),
  completion_window: z
    .string({ error: window })
    .regex(/^[1-9]\d{0,2}h$/, window)
    .refine((text) => Number.parseInt(text, 10) <= MOST_HOURS, window),
  metadata: z
    .record(z.string().max(64), z.string().max(512))
    .refine((all) => Object.keys(all).length <= 16, "metadata may have at most 16 entries.")
    .nullish(),
  output_expires_after: z
    .object({ anchor: z.literal("created_at"), seconds: z.int().min(HOUR_SECONDS).max(2_592_000) })
    .nullish(),
});

export function createBatchesApi({ batches, log }: { batches: Batches; log: Log }): Hono {
  const app = new Hono();
  app.onError((thrown, c) => {
    const { status, body } = errorAnswer(thrown);
    if (status >= 500) log.error({ stage: "batch", err: thrown }, "a request failed");
    return c.json(body, status as ContentfulStatusCode);
  });
  app.use(async (c, next) => {
    await next();
    c.header("x-request-id", `req_${randomUUID()}`);
  });
  addFiles(app, batches);
  addBatches(app, batches);
  app.all("*", ({ req: { method, path } }) => {
    const words = `This address has /v1/files and /v1/batches, and no ${method} ${path}. The engine has an address of its own.`;
    throw new ApiError(404, "unknown_url", words);
  });
  return app;
}

function addFiles(app: Hono, batches: Batches): void {
  const found = (c: Context): StoredFile => {
    const id = c.req.param("id")!;
    const file = batches.opened.store.file(id);
    if (!file) throw new ApiError(404, "file_not_found", `No such File object: ${id}`, "id");
    return file;
  };
  app.post("/files", async (c) => {
    const { store, files } = batches.opened;
    const id = newId("file-");
    try {
      const { seconds, ...upload } = await readUpload(c.req.raw, (content) => files.write(id, content));
      const created_at = batches.now();
      const kept = Math.min(batches.keepSeconds, seconds ?? Number.POSITIVE_INFINITY);
      const file = { ...upload, id, purpose: "batch" as const, created_at, expires_at: created_at + kept };
      store.durably(() => store.addFile(file));
      return c.json(fileObject(file));
    } catch (thrown) {
      await files.remove(id);
      throw thrown;
    }
  });
  app.get("/files", (c) => {
    const { after, purpose, order } = c.req.query();
    const limit = limitOf(c, 10_000, 10_000);
    const isNewestFirst = order !== "asc";
    const rows = batches.opened.store.files({ after, purpose, limit: limit + 1, isNewestFirst });
    return c.json(listOf(rows.map(fileObject), limit));
  });
  app.get("/files/:id", (c) => c.json(fileObject(found(c))));
  app.get("/files/:id/content", (c) => {
    const { id, bytes } = found(c);
    const content = Readable.toWeb(batches.opened.files.read(id)) as ReadableStream;
    return c.body(content, 200, {
      "content-type": "application/jsonl",
      "content-length": String(bytes),
      "content-disposition": `attachment; filename="${id}.jsonl"`,
    });
  });
  app.delete("/files/:id", async (c) => {
    const { store, files } = batches.opened;
    const { id } = found(c);
    if (store.isNeeded(id))
      throw new ApiError(400, "file_in_use", `A batch still reads ${id}: wait for it, or cancel it.`, "id");
    store.removeFile(id);
    await files.remove(id);
    return c.json({ id, object: "file", deleted: true });
  });
}

function addBatches(app: Hono, batches: Batches): void {
  const found = (c: Context): Batch => {
    const id = c.req.param("id")!;
    const batch = batches.opened.store.batch(id);
    if (!batch) throw new ApiError(404, "batch_not_found", `No batch found with id '${id}'.`, "id");
    return batch;
  };
  const onError = () => {
    throw new ApiError(413, "body_too_large", `The body may have at most ${MAX_JSON_BYTES} bytes.`);
  };
  app.post("/batches", bodyLimit({ maxSize: MAX_JSON_BYTES, onError }), async (c) => {
    const { store } = batches.opened;
    const batch = newBatch(await jsonOf(c), batches);
    store.durably(() => store.addBatch(batch));
    batches.created();
    return c.json(batchObject(batch));
  });
  app.get("/batches", (c) => {
    const limit = limitOf(c, 20, 100);
    const rows = batches.opened.store.batches({ after: c.req.query("after") ?? null, limit: limit + 1 });
    return c.json(listOf(rows.map(batchObject), limit));
  });
  app.get("/batches/:id", (c) => c.json(batchObject(found(c))));
  app.post("/batches/:id/cancel", (c) => {
    const { store } = batches.opened;
    const { id, status } = found(c);
    if (status !== "validating" && status !== "in_progress" && status !== "cancelling")
      throw new ApiError(409, "batch_not_cancellable", `Cannot cancel a batch with status '${status}'.`);
    if (status !== "cancelling") {
      const cancelling_at = batches.now();
      store.durably(() => store.change(id, { status: "cancelling", cancelling_at }));
    }
    batches.changed(id);
    return c.json(batchObject(found(c)));
  });
}

function newBatch(sent: unknown, batches: Batches): Batch {
  const parsed = NewBatch.safeParse(sent);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    const param = issue!.path.join(".");
    throw new ApiError(400, "invalid_value", `${issue!.message}${param ? ` (${param})` : ""}`, param || null);
  }
  const {
    input_file_id: input_file,
    endpoint,
    completion_window,
    metadata,
    output_expires_after,
  } = parsed.data;
  if (batches.opened.store.file(input_file)?.purpose !== "batch")
    throw new ApiError(400, "invalid_value", `No such input file: ${input_file}`, "input_file_id");
  const created_at = batches.now();
  const times = Object.fromEntries(TIMES.map((time) => [time, null])) as Record<BatchTime, null>;
  return {
    ...times,
    id: newId("batch_"),
    ...{ input_file, endpoint, completion_window, created_at },
    metadata: metadata ? JSON.stringify(metadata) : null,
    status: "validating",
    model: null,
    errors: null,
    ...{ total: 0, completed: 0, failed: 0, sent_up_to: 0, output_bytes: 0, error_bytes: 0 },
    ...{ input_tokens: 0, cached_tokens: 0, output_tokens: 0, reasoning_tokens: 0 },
    output_file: newId("file-"),
    error_file: newId("file-"),
    output_seconds: Math.min(batches.keepSeconds, output_expires_after?.seconds ?? Number.POSITIVE_INFINITY),
    expires_at: created_at + Number.parseInt(completion_window, 10) * HOUR_SECONDS,
  };
}

const TIMES: readonly BatchTime[] = [
  "in_progress_at",
  "finalizing_at",
  "completed_at",
  "failed_at",
  "expired_at",
  "cancelling_at",
  "cancelled_at",
];

const newId = (prefix: string) => `${prefix}${randomUUID().replaceAll("-", "")}`;

async function jsonOf(c: Context): Promise<unknown> {
  try {
    return JSON.parse(await c.req.text());
  } catch {
    throw new ApiError(400, "invalid_json", "The body is not JSON.");
  }
}

function limitOf(c: Context, usual: number, most: number): number {
  const text = c.req.query("limit");
  if (text === undefined) return usual;
  const limit = Number(text);
  if (Number.isInteger(limit) && limit >= 1 && limit <= most) return limit;
  throw new ApiError(400, "invalid_value", `limit must be a whole number from 1 to ${most}.`, "limit");
}

/** `rows` has one more than `limit` where there are more. */
function listOf<T extends { id: string }>(rows: readonly T[], limit: number) {
  const data = rows.slice(0, limit);
  const [first_id, last_id] = [data[0]?.id ?? null, data.at(-1)?.id ?? null];
  return { object: "list", data, first_id, last_id, has_more: rows.length > limit };
}

const fileObject = ({ id, purpose, filename, bytes, created_at, expires_at }: StoredFile) => ({
  ...{ id, object: "file", bytes, created_at, expires_at, filename, purpose },
  status: "processed",
  status_details: null,
});

function batchObject(batch: Batch) {
  const { id, endpoint, model, status, completion_window, total, completed, failed } = batch;
  const hasEnded = ["completed", "expired", "cancelled"].includes(status);
  const times = Object.fromEntries(TIMES.map((time) => [time, batch[time]]));
  return {
    ...{ id, object: "batch", endpoint, model, status, completion_window },
    errors: batch.errors === null ? null : { object: "list", data: JSON.parse(batch.errors) },
    input_file_id: batch.input_file,
    output_file_id: hasEnded && batch.output_bytes > 0 ? batch.output_file : null,
    error_file_id: hasEnded && batch.error_bytes > 0 ? batch.error_file : null,
    created_at: batch.created_at,
    expires_at: batch.expires_at,
    ...times,
    request_counts: { total, completed, failed },
    usage: {
      input_tokens: batch.input_tokens,
      input_tokens_details: { cached_tokens: batch.cached_tokens },
      output_tokens: batch.output_tokens,
      output_tokens_details: { reasoning_tokens: batch.reasoning_tokens },
      total_tokens: batch.input_tokens + batch.output_tokens,
    },
    metadata: batch.metadata === null ? null : JSON.parse(batch.metadata),
  };
}
