// Batches on a folder of their own, with a queue that a test works off: the store and the files are the real ones. The clock runs a thousand
// times faster than time. A crash leaves the folder as it is at that moment, and what ran before has no more effects. Not a test.
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Hono } from "hono";
import OpenAI, { toFile } from "openai";
import type { Clock } from "../../worker/async/clock.ts";
import { createBatchesApi } from "../../worker/batches/api.ts";
import { Batches } from "../../worker/batches/batches.ts";
import { type ErrorCode, KamadoError } from "../../worker/errors.ts";
import { Receipt, type Result } from "../../worker/job/result.ts";
import type { NewJob, SendJobs } from "../../worker/job/send-jobs.ts";
import { JobEvents } from "../../worker/logging/job-events.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { createResults } from "../../worker/storage/results.ts";
import { FakeBucket } from "../fakes/bucket.ts";

const SPEED = 1_000;

export class FastClock implements Clock {
  #jumped = 0;
  now = () => performance.now() * SPEED + this.#jumped;
  wall = () => Date.now() + this.#jumped;
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await sleep(ms / SPEED, undefined, signal ? { signal } : {}).catch(() => {});
  }
  /** Passes so much time at once. What sleeps wakes up as if it had not. */
  jump(ms: number): void {
    this.#jumped += ms;
  }
}

/** What becomes of a job. By default it succeeds. */
export type Answer = (
  body: Record<string, unknown>,
  job: NewJob,
) => Pick<Result, "status" | "output" | "error">;
type Sent = { job: NewJob; isCanceled: boolean };

export const chat = (customId: string, body: object = {}) => ({
  custom_id: customId,
  method: "POST",
  url: "/v1/chat/completions",
  body: { model: "small", messages: [{ role: "user", content: customId }], ...body },
});

export const jsonl = (lines: readonly unknown[]) => lines.map((line) => `${JSON.stringify(line)}\n`).join("");

export async function all<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const one of iterable) found.push(one);
  return found;
}

const echo: Answer = ({ messages }) => ({
  status: "succeeded",
  output: {
    object: "chat.completion",
    choices: [{ message: { content: (messages as [{ content: string }])[0].content } }],
  },
});

/** Everything but the worker that has the batches: queue and bucket outlive it. */
export class Rig {
  readonly clock = new FastClock();
  readonly bucket = new FakeBucket({ clock: this.clock });
  readonly waiting: Sent[] = [];
  /** By id, every time that one was sent. */
  readonly sends = new Map<string, number>();
  most = 0;
  answer: Answer = echo;
  /** Jobs that run while their batch is cancelled: what becomes of them is the test's to say. */
  readonly running = new Set<string>();
  /** Fails the next calls to the queue. */
  failSends: ErrorCode[] = [];
  keepDays = 30;
  isFifo = false;
  #folder = "";
  #isDead = { yes: true };
  #events = new JobEvents(silentLog);
  batches!: Batches;
  app!: Hono;
  client!: OpenAI;
  readonly #folders: string[] = [];

  constructor() {
    this.#open(this.#newFolder());
  }

  get folder(): string {
    return this.#folder;
  }

  /** As `kill -9` does it, and a start afterwards. */
  async crash(): Promise<void> {
    this.#isDead.yes = true;
    const next = this.#newFolder();
    cpSync(this.#folder, next, { recursive: true });
    const old = this.batches;
    this.#open(next);
    await old.stop();
  }

  /** As a stop and a start do it. */
  async restart(): Promise<void> {
    await this.batches.stop();
    this.#open(this.#folder);
  }

  async close(): Promise<void> {
    this.#isDead.yes = true;
    await this.batches.stop();
    for (const folder of this.#folders) rmSync(folder, { recursive: true, force: true });
  }

  /** Runs so many of the waiting jobs; a worker elsewhere tells nobody. */
  async work(count = Infinity, { elsewhere = false } = {}): Promise<void> {
    for (const { job, isCanceled } of this.waiting.splice(0, count))
      await this.#run(job, isCanceled, elsewhere);
  }

  /** Works until the batch has this status. */
  async until(id: string, status: string, { works = true } = {}): Promise<OpenAI.Batch> {
    for (;;) {
      if (works) await this.work();
      const batch = await this.client.batches.retrieve(id);
      if (batch.status === status) return batch;
      await sleep(1);
    }
  }

  async untilWaiting(jobs: number): Promise<void> {
    while (this.waiting.length < jobs) await sleep(1);
  }

  async start(lines: readonly unknown[] | string, more: object = {}): Promise<OpenAI.Batch> {
    const content = typeof lines === "string" ? lines : jsonl(lines);
    const file = await this.client.files.create({
      file: await toFile(Buffer.from(content), "in.jsonl"),
      purpose: "batch",
    });
    return this.client.batches.create({
      input_file_id: file.id,
      endpoint: "/v1/chat/completions",
      completion_window: "24h",
      ...more,
    });
  }

  /** All lines of both files. */
  // biome-ignore lint/suspicious/noExplicitAny: lines are whatever the API writes
  async outcome(batch: OpenAI.Batch): Promise<{ output: any[]; error: any[] }> {
    const read = async (id: string | null | undefined) =>
      id
        ? (await (await this.client.files.content(id)).text())
            .trim()
            .split("\n")
            .map((line) => JSON.parse(line))
        : [];
    return { output: await read(batch.output_file_id), error: await read(batch.error_file_id) };
  }

  async #run(job: NewJob, isCanceled: boolean, elsewhere: boolean): Promise<void> {
    const id = job.id!;
    const results = createResults(this.bucket);
    const { body } = job.input as { body: Record<string, unknown> };
    const canceled = {
      status: "canceled" as const,
      error: { code: "canceled", message: "The job was canceled." },
    };
    const end = isCanceled ? canceled : this.answer(body, job);
    const fresh: Result = { ...end, id, kind: job.kind, receipt: Receipt.parse({}) };
    const result = (await results.find(id)) ?? fresh;
    await results.store(result);
    if (!elsewhere)
      this.#events.emit({ stage: "ended", job: id, outcome: "succeeded", ending: "delete" }, "ended", {
        result,
      });
  }

  /** SQS or a worker gave it up, and there is no result. */
  deadLetter({ job }: Sent): void {
    const ended = { outcome: "rejected", ending: "dead-lettered", error: "attempts_exhausted" } as const;
    this.#events.emit({ stage: "ended", job: job.id!, ...ended }, "ended");
  }

  #newFolder(): string {
    const folder = mkdtempSync(join(tmpdir(), "kamado-batches-"));
    this.#folders.push(folder);
    return folder;
  }

  /** A second worker on the same folder. */
  again(): { batches: Batches; client: OpenAI } {
    return this.#worker(this.#folder, { yes: false });
  }

  #open(folder: string): void {
    this.#folder = folder;
    this.#isDead = { yes: false };
    this.#events = new JobEvents(silentLog);
    Object.assign(this, this.#worker(folder, this.#isDead));
  }

  #worker(folder: string, isDead: { yes: boolean }) {
    const batches = new Batches({
      ...{ folder, keepDays: this.keepDays, bucket: this.bucket, jobEvents: this.#events, log: silentLog },
      ...{ results: createResults(this.bucket), clock: this.clock, isFifo: this.isFifo },
      send: this.#sender(isDead),
    });
    batches.start();
    const app = new Hono().route("/v1", createBatchesApi({ batches, log: silentLog }));
    const fetch = async (url: string, init?: RequestInit) => app.request(url, init);
    const client = new OpenAI({
      baseURL: "http://worker/v1",
      apiKey: "none",
      fetch: fetch as never,
      maxRetries: 0,
    });
    return { batches, app, client };
  }

  #sender(isDead: { yes: boolean }): Pick<SendJobs, "sendMany" | "cancel"> {
    return {
      sendMany: async (jobs) => {
        if (isDead.yes) throw new KamadoError("stopping", "dead");
        const code = this.failSends.shift();
        return jobs.map((job) => {
          const id = job.id!;
          if (code) return { ok: false, id, error: new KamadoError(code, "The test says so.") };
          this.sends.set(id, (this.sends.get(id) ?? 0) + 1);
          this.waiting.push({ job, isCanceled: false });
          this.most = Math.max(this.most, this.waiting.length);
          return { ok: true, id, kind: job.kind, messageId: id, jobHash: "" };
        });
      },
      cancel: async (id) => {
        if (isDead.yes) throw new KamadoError("stopping", "dead");
        if (this.bucket.objects.has(`s3://kamado/results/${id}.json`)) return { is: "ended" };
        for (const sent of this.waiting) if (sent.job.id === id) sent.isCanceled = true;
        return { is: this.running.has(id) ? "running" : "waiting" };
      },
    };
  }
}

/** The custom_ids of all lines, sorted. */
export const idsOf = ({
  output,
  error,
}: {
  output: { custom_id: string }[];
  error: { custom_id: string }[];
}) => [...output, ...error].map((line) => line.custom_id).toSorted();
