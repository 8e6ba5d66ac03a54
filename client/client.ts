// `kamado/client`: puts jobs on the queue. Owns what a sender does: checks, uploads, batches; waiting for a result is in wait.ts. What it
// shares with the worker is imported from there and bundled: how a job is checked, the queue, the bucket, the errors. The command line
// sends and cancels through it. It reads no environment; the AWS SDK does.
import { createHash, randomUUID } from "node:crypto";
import { S3Client } from "@aws-sdk/client-s3";
import { SQSClient } from "@aws-sdk/client-sqs";
import { systemClock } from "../worker/async/clock.ts";
import { Semaphore } from "../worker/async/semaphore.ts";
import { placeOptions, s3Options, sqsOptions } from "../worker/aws/client-options.ts";
import { queueRegion } from "../worker/aws/rights.ts";
import { describeIssues, KamadoError, toKamadoError } from "../worker/errors.ts";
import { Job, JobId } from "../worker/job/envelope.ts";
import { jobHash } from "../worker/job/job-hash.ts";
import { withoutHalves } from "../worker/job/json.ts";
import { MAX_NESTING } from "../worker/job/structure.ts";
import { traceFields } from "../worker/job/trace-context.ts";
import { type Canceled, cancelJob } from "../worker/job-lock/cancellations.ts";
import { sendEach, sqsQueue } from "../worker/queue/sqs.ts";
import { addressOf, type Bucket } from "../worker/storage/bucket.ts";
import { createResults } from "../worker/storage/results.ts";
import { s3Bucket } from "../worker/storage/s3.ts";
import type { AnyKinds, Enqueued, JobOptions, KindName, NewJob, Result } from "./contract.ts";
import type { Kinds } from "./kinds.ts";
import { type Inputs, type MapOptions, type Mapped, mapInputs } from "./map.ts";
import { asSender } from "./sender-errors.ts";
import { type WaitOptions, waitFor } from "./wait.ts";

export { type ErrorCode, KamadoError } from "../worker/errors.ts";
export type { Canceled } from "../worker/job-lock/cancellations.ts";
export { type CallbackEvent, type CallbackRequest, verifyCallback } from "./callback.ts";
export type * from "./contract.ts";
export type * from "./kinds.ts";
export type { Inputs, MapOptions, MapProgress, Mapped } from "./map.ts";
export type { WaitOptions } from "./wait.ts";

export type ClientOptions = {
  /** The queue of jobs. */
  queueUrl: string;
  /** The worker's bucket. Only small jobs can be sent without it, and nothing can be waited for or canceled. */
  bucket?: string | undefined;
  /** Of the bucket. By default that of the queue, which its address names; else as the AWS SDK finds it. */
  region?: string | undefined;
  /** An emulator's address instead of AWS. */
  endpoint?: string | undefined;
  /** By default as the AWS SDK finds them: environment, profile, role. */
  credentials?: { accessKeyId: string; secretAccessKey: string; sessionToken?: string } | undefined;
  /** SDK clients of your own, in place of these three. `close` leaves them open. */
  sqs?: SQSClient | undefined;
  s3?: S3Client | undefined;
};

/** What became of one of several jobs. One with `error.retry` may be sent again: under the same id it runs once. */
export type EnqueueResult<N extends string = string> =
  | ({ ok: true } & Enqueued<N>)
  | { ok: false; id: string | undefined; error: KamadoError };

export interface Client<K extends AnyKinds = Kinds> {
  /** Puts a job on the queue. Throws `invalid_input`, `queue_unavailable`, `storage_unavailable`, `message_rejected`. */
  enqueue<N extends KindName<K>>(kind: N, input: K[N]["input"], options?: JobOptions): Promise<Enqueued<N>>;
  /** Puts many on the queue in few calls. One result for each, in order; one that fails costs only itself. */
  enqueueMany(jobs: readonly NewJob<K>[]): Promise<EnqueueResult<KindName<K>>[]>;
  /**
   * Waits until the job has a result: each is stored in the bucket, wherever else it is delivered. A job that failed has one too. Throws
   * `result_not_ready` when the time is over, `duplicate_id` when the id belongs to another job, and the signal's reason.
   */
  wait<N extends KindName<K>>(job: Enqueued<N>, options?: WaitOptions): Promise<Result<K, N>>;
  wait(id: string, options?: WaitOptions): Promise<Result<K>>;
  /**
   * Runs one kind over many inputs, some at the same time, and gives one result for each, in their order. One that fails costs only
   * itself. Nothing is read or sent before the first result is asked for.
   */
  map<N extends KindName<K>>(
    kind: N,
    inputs: Inputs<K[N]["input"]>,
    options?: MapOptions,
  ): AsyncGenerator<Mapped<K, N>, void, undefined>;
  /** Cancels a job: stops it if it runs, and prevents its start if it waits or has not arrived yet. */
  cancel(job: string | { id: string }): Promise<Canceled>;
  /** Uploads an input, and resolves with its s3:// address. Bytes inside an input are uploaded by themselves. */
  upload(file: Uint8Array | Blob, options?: UploadOptions): Promise<string>;
  close(): void;
}

export type UploadOptions = {
  id?: string | undefined;
  name?: string | undefined;
  contentType?: string | undefined;
};

/** Bytes. A longer body goes into the bucket and a pointer to it into the queue. SQS takes 1 MiB with the attributes. */
const BODY_LIMIT = 900 * 1024;
/** The SDK has 50 connections, and an upload that waits for one uses up its time. */
const UPLOADS_AT_ONCE = 16;
const SEND = "sqs:SendMessage on the queue";
const UPLOAD = "s3:PutObject on in/*";
const CANCEL = "s3:GetObject on results/*, s3:ListBucket on the bucket and s3:PutObject on cancel/*";

export function createClient<K extends AnyKinds = Kinds>(options: ClientOptions): Client<K> {
  checkOptions(options);
  const { sqs, s3, close } = awsOf(options);
  const bucket = options.bucket === undefined ? undefined : s3Bucket(s3, options.bucket);
  const sender = new Sender(sqs, options.queueUrl, bucket);
  return {
    enqueue: async (kind, input, more = {}) => {
      const prepared = await sender.prepare({ kind, input, ...more });
      return enqueuedOf(prepared, await sender.send(prepared)) as Enqueued<typeof kind>;
    },
    enqueueMany: (jobs) => sender.sendMany(jobs),
    wait: async (job: string | Enqueued, more: WaitOptions = {}) =>
      waitFor(job, idOf(job), sender.needBucket("to wait for a result"), more) as never,
    map: (kind, inputs, more = {}) =>
      mapInputs(kind, inputs, more, {
        bucket: sender.needBucket("to map inputs"),
        check: checkSendable,
        prepare: (fields) => sender.prepare(fields),
        sendPrepared: (prepared) => sender.sendPrepared(prepared),
        cancel: (id) => cancel(id, sender.needBucket("to cancel a job")),
      }) as never,
    cancel: async (job) => cancel(idOf(job), sender.needBucket("to cancel a job")),
    upload: (file, more = {}) => sender.upload(file, more),
    close,
  };
}

/** Mistakes of whoever writes JavaScript, or whose variable is not set. */
function checkOptions({ queueUrl, bucket, credentials }: Partial<ClientOptions> = {}): void {
  if (typeof queueUrl !== "string" || !/^https?:/.test(queueUrl) || !URL.canParse(queueUrl))
    throw new KamadoError("config_invalid", "queueUrl: expected the address of the queue of jobs.", {
      hint: "It begins with https://, such as the stack's output JobsQueueUrl; a name or an ARN is none.",
    });
  if (bucket !== undefined && (typeof bucket !== "string" || !/^[\w.-]+$/.test(bucket)))
    throw new KamadoError("config_invalid", "bucket: expected the name of the worker's bucket.", {
      hint: "The name alone, without s3://, such as the stack's output BucketName. Leave it out to send small jobs only.",
    });
  if (credentials !== undefined && !(credentials.accessKeyId && credentials.secretAccessKey))
    throw new KamadoError("config_invalid", "credentials: expected accessKeyId and secretAccessKey.");
}

function awsOf({ queueUrl, sqs, s3, region, endpoint, credentials }: ClientOptions) {
  const ofQueue = queueRegion(queueUrl);
  const shared = {
    ...placeOptions({ region: region ?? ofQueue, endpoint, credentials }),
    requestHandler: { connectionTimeout: 5_000, requestTimeout: 28_000, throwOnRequestTimeout: true },
  };
  const isCustom = endpoint !== undefined;
  const own = {
    sqs: sqs ?? new SQSClient({ ...shared, ...(ofQueue && { region: ofQueue }), ...sqsOptions(isCustom) }),
    s3: s3 ?? new S3Client({ ...shared, ...s3Options(isCustom) }),
  };
  const close = () => {
    if (!sqs) own.sqs.destroy();
    if (!s3) own.s3.destroy();
  };
  return { ...own, close };
}

type Fields = { kind: string; input: unknown } & JobOptions;
type Prepared = { job: Job; body: string; group: string; attributes?: Record<string, string> };

const enqueuedOf = ({ job }: Prepared, messageId: string): Enqueued => ({
  id: job.id,
  kind: job.kind,
  messageId,
  jobHash: jobHash(job),
});

class Sender {
  readonly #sqs: SQSClient;
  readonly #queueUrl: string;
  readonly #bucket: Bucket | undefined;
  readonly #uploads = new Semaphore(UPLOADS_AT_ONCE);

  constructor(sqs: SQSClient, queueUrl: string, bucket: Bucket | undefined) {
    this.#sqs = sqs;
    this.#queueUrl = queueUrl;
    this.#bucket = bucket;
  }

  needBucket(why: string): Bucket {
    if (this.#bucket) return this.#bucket;
    throw new KamadoError("config_invalid", `bucket: name the worker's bucket ${why}.`);
  }

  /** A job that can be sent. What is wrong with it is said before anything is uploaded. */
  async prepare(fieldsOfJob: Fields): Promise<Prepared> {
    if (typeof fieldsOfJob !== "object" || fieldsOfJob === null)
      throw new KamadoError("invalid_input", "expected a job: { kind, input }.");
    const { kind, input, group, traceparent, tracestate, ...given } = fieldsOfJob;
    const { id = randomUUID(), deliver = [], policy = {}, ...unknown } = given;
    // What is in the input is checked by the worker: it knows kinds of which this client has not heard.
    const placeholder = input === undefined ? {} : { input: null };
    // A mistyped option is named, and not left out.
    const fields = { ...unknown, id, kind, ...placeholder, ...(asJson({ deliver, policy }) as object) };
    const checked = Job.safeParse(fields);
    if (!checked.success) throw new KamadoError("invalid_input", describeIssues(checked.error, fields));
    const attributes = traceOf({ traceparent, tracestate });
    checkSendable(input);
    const placed = await withUploads(input, (file) => this.upload(file, { id }));
    const job = { ...checked.data, input: asJson(placed) };
    const body = JSON.stringify(job);
    const isLong = Buffer.byteLength(body) > BODY_LIMIT;
    const sent = isLong ? await this.#pointerTo(job.id, body) : body;
    return { job, body: sent, group: group ?? id, ...(attributes && { attributes }) };
  }

  async send({ job, body, group, attributes }: Prepared): Promise<string> {
    const queue = sqsQueue(this.#sqs, this.#queueUrl);
    const send = (text: string) =>
      queue
        .send(text, { group, deduplicationId: job.id, ...(attributes && { attributes }) })
        .catch((thrown) => {
          throw asSender(thrown, SEND);
        });
    try {
      return await send(body);
    } catch (thrown) {
      // A queue may take less than SQS allows.
      if (!isTooLong(thrown) || !this.#bucket || isPointer(body)) throw thrown;
      return send(await this.#pointerTo(job.id, body));
    }
  }

  async sendMany(jobs: readonly Fields[]): Promise<EnqueueResult[]> {
    if (!Array.isArray(jobs)) throw new KamadoError("invalid_input", "enqueueMany: expected a list of jobs.");
    const prepared = await Promise.all(jobs.map((job) => orError(this.prepare(job))));
    const ready = prepared.filter((one): one is Prepared => !(one instanceof KamadoError));
    const sent = (await this.sendPrepared(ready)).values();
    return prepared.map((one, index) => {
      const outcome = one instanceof KamadoError ? one : sent.next().value!;
      const id = one instanceof KamadoError ? jobs[index]?.id : one.job.id;
      return outcome instanceof KamadoError ? { ok: false, id, error: outcome } : { ok: true, ...outcome };
    });
  }

  /** One outcome for each, in order. */
  async sendPrepared(prepared: readonly Prepared[]): Promise<(Enqueued | KamadoError)[]> {
    const messages = prepared.map(({ job, ...message }) => ({ ...message, deduplicationId: job.id }));
    const sent = await sendEach(this.#sqs, this.#queueUrl, messages);
    const outcomes: (Enqueued | KamadoError)[] = [];
    for (const [index, one] of prepared.entries()) outcomes.push(await this.#outcomeOf(one, sent[index]!));
    return outcomes;
  }

  /** A message that was too long for the queue is sent again, as a pointer. */
  async #outcomeOf(
    one: Prepared,
    sent: { messageId: string } | { error: KamadoError },
  ): Promise<Enqueued | KamadoError> {
    if ("messageId" in sent) return enqueuedOf(one, sent.messageId);
    if (!isTooLong(sent.error)) return asSender(sent.error, SEND);
    const messageId = await orError(this.send(one));
    return messageId instanceof KamadoError ? messageId : enqueuedOf(one, messageId);
  }

  async upload(
    file: Uint8Array | Blob,
    { id = randomUUID(), name, contentType }: UploadOptions,
  ): Promise<string> {
    const bucket = this.needBucket("to upload an input");
    const bytes = file instanceof Blob ? new Uint8Array(await file.arrayBuffer()) : file;
    const given = name ?? (file instanceof Blob && "name" in file ? String(file.name) : "");
    // The worker looks at the bytes.
    const type = contentType ?? "application/octet-stream";
    return addressOf(bucket, await this.#store(bucket, idOf(id), nameOf(given), bytes, type));
  }

  /** As the extended clients of SQS write it. */
  async #pointerTo(id: string, body: string): Promise<string> {
    const bucket = this.needBucket("to send a job that is too long for the queue");
    const key = await this.#store(bucket, id, "job.json", body, "application/json");
    return JSON.stringify([POINTER, { s3BucketName: bucket.name, s3Key: key }]);
  }

  /** The key has the content's hash, so that another file under the same id and name is another input. */
  async #store(bucket: Bucket, id: string, name: string, content: string | Uint8Array, contentType: string) {
    const hash = createHash("sha256").update(content).digest("hex").slice(0, 16);
    const key = `in/${id}/${hash}/${name}`;
    await this.#uploads
      .take(() => bucket.put(key, content, { contentType }))
      .catch((thrown) => {
        throw asSender(thrown, UPLOAD);
      });
    return key;
  }
}

/** The trace as attributes of the message: workers of every version leave alone what they do not know there. */
function traceOf(
  options: Pick<JobOptions, "traceparent" | "tracestate">,
): Record<string, string> | undefined {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const fields = traceFields(options);
  const [wrong] = given.find(([name]) => !(name in fields)) ?? [];
  if (wrong !== undefined)
    throw new KamadoError("invalid_input", `${wrong}: it is no valid header of W3C trace context.`, {
      hint: 'Give traceparent as "00-<32 hexadecimal digits>-<16>-<2>", as OpenTelemetry\'s propagation.inject writes it, and tracestate only with it.',
    });
  return given.length > 0 ? fields : undefined;
}

/** The last part of a path; what says nothing is "input". */
function nameOf(path: string): string {
  const name = path.split(/[/\\]/).at(-1)!.slice(-200);
  return /^\.*$/.test(name) ? "input" : name;
}

const POINTER = "software.amazon.payloadoffloading.PayloadS3Pointer";
const isPointer = (body: string) => body.startsWith(`["${POINTER}`);
const isTooLong = (error: unknown) => error instanceof KamadoError && error.code === "body_too_large";

const orError = <T>(work: Promise<T>): Promise<T | KamadoError> =>
  work.catch((thrown) => toKamadoError(thrown, "invalid_input"));

/** The value as the worker will read it. */
function asJson(value: unknown): unknown {
  try {
    const json = JSON.stringify(value) as string | undefined;
    return json === undefined ? undefined : JSON.parse(withoutHalves(json));
  } catch (cause) {
    const why = (cause as Error).message.split("\n")[0];
    throw new KamadoError("invalid_input", `input: it cannot be written as JSON: ${why}.`, { cause });
  }
}

type Upload = (file: Uint8Array | Blob) => Promise<string>;

const isBytes = (value: unknown): value is Uint8Array | ArrayBuffer | Blob =>
  value instanceof Uint8Array || value instanceof ArrayBuffer || value instanceof Blob;

/** The value with the address of an upload in place of all bytes in it. */
async function withUploads(value: unknown, upload: Upload): Promise<unknown> {
  if (isBytes(value)) return upload(value instanceof ArrayBuffer ? new Uint8Array(value) : value);
  if (Array.isArray(value)) return Promise.all(value.map((one) => withUploads(one, upload)));
  if (typeof value !== "object" || value === null || "toJSON" in value) return value;
  const entries = Object.entries(value).map(
    async ([key, one]) => [key, await withUploads(one, upload)] as const,
  );
  return Object.fromEntries(await Promise.all(entries));
}

/** Before anything is uploaded. Of a Map, a stream, a promise or a function JSON would make nothing, or an empty object. */
function checkSendable(value: unknown, depth = 0): void {
  if (isBytes(value)) return;
  if (depth > MAX_NESTING)
    throw new KamadoError("invalid_input", "input: it contains itself, or is nested too deep.");
  const isObject = typeof value === "object" && value !== null && !("toJSON" in value);
  if (!isObject && typeof value !== "function" && typeof value !== "symbol") return;
  if (isObject && (Array.isArray(value) || isPlain(value))) {
    for (const one of Object.values(value)) checkSendable(one, depth + 1);
    return;
  }
  const what = isObject ? (value.constructor?.name ?? "object") : typeof value;
  throw new KamadoError("invalid_input", `input: a ${what} cannot be sent.`, {
    hint: "Send plain JSON values; bytes as a Uint8Array, ArrayBuffer or Blob. Read a stream to its end and await a promise first.",
  });
}

const isPlain = (value: object) =>
  !ArrayBuffer.isView(value) &&
  ![Symbol.iterator, Symbol.asyncIterator, "then"].some((name) => name in value);

function idOf(job: string | { id: string }): string {
  const parsed = JobId.safeParse(typeof job === "string" ? job : job?.id);
  if (parsed.success) return parsed.data;
  throw new KamadoError("invalid_input", `id: ${parsed.error.issues[0]!.message}.`);
}

const cancel = (id: string, bucket: Bucket): Promise<Canceled> =>
  cancelJob(id, { bucket, results: createResults(bucket), clock: systemClock }).catch((thrown) => {
    throw asSender(storageError(thrown), CANCEL);
  });

const storageError = (thrown: unknown) => {
  const error = toKamadoError(thrown, "storage_unavailable");
  // What could not be read at all has the reason beneath it.
  return error.cause instanceof KamadoError && error.cause.code === "object_forbidden" ? error.cause : error;
};
