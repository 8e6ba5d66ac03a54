// A worker on fakes: everything but the AWS, the network and the model is the real thing. Time passes when a test says so.
import { z } from "zod";
import type { Deliver, Delivery } from "../../worker/deliver/deliver.ts";
import type { KamadoError } from "../../worker/errors.ts";
import { defineHandler, type Handler, type Model } from "../../worker/job/handler.ts";
import type { Result } from "../../worker/job/result.ts";
import { silentLog } from "../../worker/log.ts";
import { Meter } from "../../worker/model/usage.ts";
import { Acks } from "../../worker/run/acks.ts";
import { Claims } from "../../worker/run/claims.ts";
import { createDeadLetters } from "../../worker/run/dead-letters.ts";
import { createDeliverAll } from "../../worker/run/deliver-all.ts";
import { type Event, Journal } from "../../worker/run/journal.ts";
import { Leases } from "../../worker/run/lease.ts";
import { Puller } from "../../worker/run/puller.ts";
import { createReadJob, priorityOf } from "../../worker/run/read-job.ts";
import { createResults } from "../../worker/run/results.ts";
import { runJob } from "../../worker/run/run-job.ts";
import { FakeBlobs } from "../fakes/blobs.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeQueue } from "../fakes/queue.ts";

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
  fifo?: boolean;
  isReady?: () => boolean;
  ready?: (signal: AbortSignal) => Promise<void>;
  /** Shared between two workers of one test. */
  shared?: { clock: FakeClock; queue: FakeQueue; blobs: FakeBlobs; dead: FakeQueue };
  deliver?: Deliver;
};
export type Rig = ReturnType<typeof createRig>;

export function createRig(options: RigOptions = {}) {
  const { slots = 2, prefetch = 2, visibilitySeconds = 30, maxAttempts = 5, shared } = options;
  const clock = shared?.clock ?? new FakeClock();
  const dead = shared?.dead ?? new FakeQueue("dead", { clock });
  const queue = shared?.queue ?? new FakeQueue("jobs", { clock, fifo: options.fifo ?? false });
  const blobs = shared?.blobs ?? new FakeBlobs({ clock });
  const deadDeliveries = new FakeQueue("dead-deliveries", { clock });
  const runs: Run[] = [];
  const deliveries: Delivery[] = [];
  const events: Event[] = [];

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
  const journal = new Journal(silentLog);
  journal.watch((event) => events.push(event));
  const leases = new Leases({ queue, visibilitySeconds, clock, log: silentLog });
  const acks = new Acks({ queue, leases, clock, log: silentLog });
  const results = createResults({ blobs, bucket: "kamado" });
  const deadLetters = createDeadLetters({
    messages: dead,
    deliveries: deadDeliveries,
    worker: "rig",
    log: () => {},
  });
  const deliver = async (delivery: Delivery) => {
    await options.deliver?.(delivery);
    deliveries.push(delivery);
  };
  const fallback = [{ sns: "arn:aws:sns:us-east-1:000000000000:kamado-results" }];
  const house = {
    readJob: createReadJob({ blobs, buckets: ["kamado"], rules: [] }),
    results,
    workshop: {
      registry: new Map([["work", work as unknown as Handler]]),
      inputs: async () => ({}),
      modelFor: () => ({ model: {} as Model, used: () => new Meter().used() }),
      pages: { article: async () => ({ title: null, text: "" }) },
      rest: () => ({ get: async () => null }),
      journal,
      clock,
      timeoutSeconds: 600,
      workerName: "rig",
    },
    deliverAll: createDeliverAll({ deliver, fallback, results, deadLetters, journal }),
    deadLetters,
    enqueue: async (jobs: readonly unknown[]) => {
      for (const job of jobs) await queue.send(JSON.stringify(job));
    },
    acks,
    claims: new Claims(),
    journal,
    maxAttempts,
  };
  const puller = new Puller({
    queue,
    leases,
    acks,
    slots,
    prefetch,
    visibilitySeconds,
    pollSeconds: 10,
    work: (lease, cut) => runJob(lease, cut, house),
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
    deadDeliveries,
    blobs,
    puller,
    leases,
    runs,
    deliveries,
    events,
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
    endOf: (job: string) => events.findLast((event) => event.station === "ended" && event.job === job),
  };
}

/** Errors a delivery meets. */
export const failing =
  (error: () => KamadoError | null): Deliver =>
  async () => {
    const thrown = error();
    if (thrown) throw thrown;
  };
