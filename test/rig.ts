// A worker on fakes: everything but the AWS, the network and the model is the real thing. Time passes when a test says so.
import { z } from "zod";
import { Acks } from "../worker/consumer/acks.ts";
import type { ConcurrencyLimit } from "../worker/consumer/concurrency-limit.ts";
import { Consumer } from "../worker/consumer/consumer.ts";
import { Heartbeat } from "../worker/consumer/heartbeat.ts";
import type { Deliver, Delivery } from "../worker/deliver/deliver.ts";
import type { KamadoError } from "../worker/errors.ts";
import type { Job } from "../worker/job/envelope.ts";
import { defineHandler, type Handler, type Model } from "../worker/job/handler.ts";
import type { Result } from "../worker/job/result.ts";
import { createJobClaims } from "../worker/job-lock/job-claim.ts";
import { type Event, JobEvents } from "../worker/logging/job-events.ts";
import { silentLog } from "../worker/logging/log.ts";
import { NOTHING_USED } from "../worker/model/model.ts";
import { openDeliveries } from "../worker/outbox/open-outbox.ts";
import { Quarantine } from "../worker/runner/quarantine.ts";
import { createReadJob, enqueueAll, priorityOf } from "../worker/runner/read-message.ts";
import { runJob } from "../worker/runner/run-job.ts";
import { createResults } from "../worker/storage/results.ts";
import { FakeBlobs } from "./fakes/bucket.ts";
import { FakeClock } from "./fakes/clock.ts";
import { FakeQueue } from "./fakes/queue.ts";

/** A run of the `work` kind that a test ends. */
export type Run = {
  input: { name: string };
  signal: AbortSignal;
  finish(value?: unknown): void;
  fail(error: unknown): void;
};

export type RigOptions = {
  slots?: number;
  prefetch?: number;
  visibilitySeconds?: number;
  maxAttempts?: number;
  timeoutSeconds?: number;
  fifo?: boolean;
  isReady?: () => boolean;
  ready?: (signal: AbortSignal) => Promise<void>;
  /** Shared between two workers of one test. */
  concurrency?: ConcurrencyLimit;
  shared?: {
    clock: FakeClock;
    queue: FakeQueue;
    blobs: FakeBlobs;
    dead: FakeQueue;
    outbox?: FakeQueue;
    deadDeliveries?: FakeQueue;
  };
  deliver?: Deliver;
};
export type Rig = ReturnType<typeof createRig>;

export function createRig(options: RigOptions = {}) {
  const {
    slots = 2,
    prefetch = 2,
    visibilitySeconds = 30,
    maxAttempts = 5,
    timeoutSeconds = 600,
    shared,
  } = options;
  const clock = shared?.clock ?? new FakeClock();
  const dead = shared?.dead ?? new FakeQueue("dead", { clock });
  const queue =
    shared?.queue ??
    new FakeQueue(options.fifo ? "jobs.fifo" : "jobs", { clock, fifo: options.fifo ?? false });
  const blobs = shared?.blobs ?? new FakeBlobs({ clock });
  const outbox = shared?.outbox ?? new FakeQueue("deliveries", { clock });
  const deadDeliveries = shared?.deadDeliveries ?? new FakeQueue("dead-deliveries", { clock });
  const runs: Run[] = [];
  const deliveries: Delivery[] = [];
  const events: Event[] = [];
  /** with which the jobs' models were asked for */
  const priorities: number[] = [];

  const work = defineHandler({
    kind: "work",
    summary: "Waits for the test to end it.",
    input: z.strictObject({ name: z.string() }),
    output: z.strictObject({ done: z.string() }),
    run(input, { signal }) {
      const { promise, resolve, reject } = Promise.withResolvers<{ done: string }>();
      runs.push({
        input,
        signal,
        finish: (value = { done: input.name }) => resolve(value as { done: string }),
        fail: reject,
      });
      return promise;
    },
  });
  const jobEvents = new JobEvents(silentLog);
  jobEvents.watch((event) => events.push(event));
  const leases = new Heartbeat({ queue, visibilitySeconds, clock, log: silentLog });
  const acks = new Acks({ queue, leases, clock, log: silentLog });
  const results = createResults({ blobs, bucket: "kamado" });
  const deliver = async (delivery: Delivery) => {
    await options.deliver?.(delivery);
    deliveries.push(delivery);
  };
  const { deliverAll, deadLetters, outboxConsumer } = openDeliveries({
    deliver,
    queues: { dead, deliveries: outbox, deadDeliveries },
    blobs,
    bucket: "kamado",
    fallback: [{ sns: "arn:aws:sns:us-east-1:000000000000:kamado-results" }],
    results,
    jobEvents,
    worker: "rig",
    pollSeconds: 20,
    clock,
    log: silentLog,
  });
  const dependencies = {
    readJob: createReadJob({ blobs, buckets: ["kamado"], rules: [] }),
    results,
    handlerDependencies: {
      registry: new Map([["work", work as unknown as Handler]]),
      inputs: async () => ({}),
      modelFor: ({ priority }: { priority: number }) => {
        priorities.push(priority);
        return { model: {} as Model, used: () => NOTHING_USED };
      },
      pages: { article: async () => ({ title: null, text: "" }) },
      rest: () => ({ get: async () => null }),
      jobEvents,
      clock,
      timeoutSeconds,
      workerName: "rig",
    },
    deliverAll,
    deadLetters,
    enqueue: (jobs: readonly Job[], group: string | null) => enqueueAll(queue, jobs, group),
    acks,
    ...createJobClaims({ blobs, bucket: "kamado", worker: "rig", visibilitySeconds, clock, log: silentLog }),
    quarantine: new Quarantine(),
    jobEvents,
    maxAttempts,
  };
  const consumer = new Consumer({
    queue,
    leases,
    acks,
    concurrency: options.concurrency ?? { slots, prefetch },
    visibilitySeconds,
    pollSeconds: 10,
    work: (lease, cut) => runJob(lease, cut, dependencies),
    priorityOf: (message) => priorityOf(message, []),
    isReady: options.isReady ?? (() => true),
    ready: options.ready ?? (async () => {}),
    clock,
    log: silentLog,
  });

  const run = (name: string): Run => {
    const found = runs.findLast(({ input }) => input.name === name);
    if (!found)
      throw new Error(`${name} does not run; running: ${runs.map(({ input }) => input.name).join(", ")}`);
    return found;
  };

  return {
    clock,
    queue,
    dead,
    outbox,
    deadDeliveries,
    blobs,
    consumer,
    /** Works the outbox; it stands still until a test starts it. */
    outboxConsumer: outboxConsumer!,
    leases,
    runs,
    deliveries,
    events,
    jobEvents,
    priorities,
    send: (name: string, more: object = {}, group?: string) =>
      queue.send(
        JSON.stringify({ id: name, kind: "work", input: { name }, ...more }),
        group === undefined ? {} : { group },
      ),
    stored: (id: string): Result | null => {
      const found = blobs.objects.get(`s3://kamado/results/${id}.json`);
      return found ? JSON.parse(Buffer.from(found.bytes).toString()) : null;
    },
    run,
    /** Lets a job that waits begin, ends it, and lets everything that follows happen. */
    async complete(name: string, value?: unknown): Promise<void> {
      await clock.advance(10);
      run(name).finish(value);
      await clock.advance(1_000);
    },
    endOf: (job: string) => events.findLast((event) => event.stage === "ended" && event.job === job),
  };
}

/** Errors a delivery meets. */
export const failing =
  (error: () => KamadoError | null): Deliver =>
  async () => {
    const thrown = error();
    if (thrown) throw thrown;
  };
