// A worker on fakes, put together as the real one is: everything but AWS, the network and the model is the real thing. Time
// passes only when a test says so.

import { z } from "zod";
import { type Config, loadConfig } from "../worker/config/config.ts";
import type { Delivery } from "../worker/deliver/deliver.ts";
import type { KamadoError } from "../worker/errors.ts";
import { type Checkpoints, defineHandler, type Handler, type Model } from "../worker/job/handler.ts";
import type { ObjectRule } from "../worker/job/object-rules.ts";
import type { Result } from "../worker/job/result.ts";
import type { TraceFields } from "../worker/job/trace-context.ts";
import type { JobEvent } from "../worker/logging/job-events.ts";
import { type Log, silentLog } from "../worker/logging/log.ts";
import { NOTHING_USED } from "../worker/model/model.ts";
import { createPages } from "../worker/pages/article.ts";
import { createTexts } from "../worker/pages/chunks.ts";
import type { PolicySettings } from "../worker/power/policies.ts";
import { createPower } from "../worker/power/power.ts";
import type { Reading } from "../worker/power/reading.ts";
import { createCheckpoints } from "../worker/storage/checkpoints.ts";
import { createReadableObjects } from "../worker/storage/readable-objects.ts";
import { DailyUsage } from "../worker/tenants/daily-usage.ts";
import type { DayBudgets } from "../worker/tenants/day-budgets.ts";
import type { Tracer } from "../worker/tracing/tracer.ts";
import { createWorker } from "../worker/worker.ts";
import { FakeBucket } from "./fakes/bucket.ts";
import { FakeClock } from "./fakes/clock.ts";
import { FakeQueue } from "./fakes/queue.ts";

/** A run of the `work` kind that a test ends. */
export type Run = {
  input: { name: string };
  signal: AbortSignal;
  checkpoints: Checkpoints;
  finish(value?: unknown): void;
  fail(error: unknown): void;
};

export type RigOptions = {
  slots?: number | undefined;
  prefetch?: number;
  lookAhead?: number;
  /** Counted in memory. */
  dayBudgets?: DayBudgets;
  visibilitySeconds?: number;
  maxAttempts?: number;
  timeoutSeconds?: number;
  budgets?: Partial<Config["budgets"]>;
  rules?: readonly ObjectRule[];
  fifo?: boolean;
  /** Whether the engine answers [it does], how many slots it says it has, and who hears that it may restart soon. */
  engine?: { isUp: boolean; slots?: number; restartSoon?(): void };
  /** Further kinds that do as `work` does. */
  kinds?: readonly string[];
  /** Those of them whose results are only stored. */
  storedOnly?: readonly string[];
  /** What the check before the first job says [nothing is wrong]. */
  startCheck?: () => Promise<KamadoError | null>;
  /** The policies that pause pulling, and what is read for them. */
  power?: { settings: Partial<PolicySettings>; reading(): Partial<Reading> };
  log?: Log;
  /** The name of the search service [none]. */
  search?: string;
  /** Shared by the workers of one test. */
  shared?: {
    clock: FakeClock;
    queue: FakeQueue;
    bucket: FakeBucket;
    dead: FakeQueue;
    outbox?: FakeQueue;
    deadDeliveries?: FakeQueue;
  };
  deliver?: (delivery: Delivery) => Promise<void>;
  tracer?: Tracer;
};
export type Rig = ReturnType<typeof createRig>;

export function createRig(options: RigOptions = {}) {
  const { shared, engine = { isUp: true } } = options;
  const clock = shared?.clock ?? new FakeClock();
  const dead = shared?.dead ?? new FakeQueue("dead", { clock });
  const queue =
    shared?.queue ??
    new FakeQueue(options.fifo ? "jobs.fifo" : "jobs", { clock, fifo: options.fifo ?? false });
  const bucket = shared?.bucket ?? new FakeBucket({ clock });
  const outbox = shared?.outbox ?? new FakeQueue("deliveries", { clock });
  const deadDeliveries = shared?.deadDeliveries ?? new FakeQueue("dead-deliveries", { clock });
  const runs: Run[] = [];
  const deliveries: Delivery[] = [];
  const events: JobEvent[] = [];
  /** The priorities with which the jobs' models were asked for. */
  const priorities: number[] = [];
  /** In which they were asked for. */
  const traces: TraceFields[] = [];

  const work = defineHandler({
    kind: "work",
    summary: "Waits for the test to end it.",
    input: z.strictObject({ name: z.string() }),
    output: z.strictObject({ done: z.string() }),
    run(input, { signal, checkpoints }) {
      const { promise, resolve, reject } = Promise.withResolvers<{ done: string }>();
      runs.push({
        input,
        signal,
        checkpoints,
        finish: (value = { done: input.name }) => resolve(value as { done: string }),
        fail: reject,
      });
      return promise;
    },
  });
  const worker = createWorker(
    {
      queues: { jobs: [{ queue, weight: 1 }], dead, deliveries: outbox, deadDeliveries },
      bucket,
      objects: createReadableObjects({ own: bucket.name, buckets: new Map([[bucket.name, bucket]]) }),
      rules: options.rules ?? [],
      handlers: {
        registry: new Map(
          ["work", ...(options.kinds ?? [])].map((kind) => {
            const storedOnly = options.storedOnly?.includes(kind) ?? false;
            return [kind, { ...work, kind, storedOnly } as unknown as Handler];
          }),
        ),
        inputs: async () => ({}),
        modelFor: ({ priority, trace: { traceparent, tracestate } }) => {
          priorities.push(priority);
          traces.push({ traceparent, tracestate });
          return { model: {} as Model, used: () => NOTHING_USED };
        },
        pages: createPages(),
        texts: createTexts(),
        rest: () => ({ get: async () => null, todos: async () => null }),
        search: { provider: options.search ?? null, web: async () => [] },
        checkpoints: createCheckpoints({ bucket, clock, log: options.log ?? silentLog }),
        estimate: () => null,
      },
      engine: {
        url: "http://engine",
        model: "none",
        isDemo: false,
        restartSoon: engine.restartSoon,
        health: async () =>
          engine.isUp
            ? { is: "ready", ...(engine.slots !== undefined && { slots: engine.slots }) }
            : { is: "down", reason: "a test says so" },
      },
      deliver: async (delivery) => {
        await options.deliver?.(delivery);
        deliveries.push(delivery);
        return "sent";
      },
      usage: new DailyUsage({ budgets: options.dayBudgets ?? {}, file: undefined, clock, log: silentLog }),
      ...(options.power && { power: powerOf(options.power, clock, options.log ?? silentLog) }),
      startCheck: options.startCheck ?? (async () => null),
      topicArn: "arn:aws:sns:us-east-1:000000000000:kamado-results",
      tracer: options.tracer,
      clock,
      log: options.log ?? silentLog,
      close: async () => {},
    },
    {
      workerName: "rig",
      slots: "slots" in options ? options.slots : 2,
      prefetch: options.prefetch ?? 2,
      lookAhead: options.lookAhead ?? 2_000,
      visibilitySeconds: options.visibilitySeconds ?? 30,
      pollSeconds: 10,
      drainSeconds: 30,
      timeoutSeconds: options.timeoutSeconds ?? 600,
      budgets: { ...loadConfig({}, {}).budgets, ...options.budgets },
      maxAttempts: options.maxAttempts ?? 5,
      retrySeconds: 5,
      deliveryDelaysMs: undefined,
    },
  );
  worker.jobEvents.subscribe((event) => events.push(event));

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
    bucket,
    worker,
    consumer: worker.jobConsumer,
    /** Works the outbox. It does nothing until a test starts it. */
    outboxConsumer: worker.outboxConsumer!,
    health: worker.health,
    runs,
    deliveries,
    events,
    jobEvents: worker.jobEvents,
    priorities,
    traces,
    send: (name: string, more: object = {}, group?: string) =>
      queue.send(
        JSON.stringify({ id: name, kind: "work", input: { name }, ...more }),
        group === undefined ? {} : { group },
      ),
    stored: (id: string): Result | null => {
      const found = bucket.objects.get(`s3://kamado/results/${id}.json`);
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

function powerOf({ settings, reading }: NonNullable<RigOptions["power"]>, clock: FakeClock, log: Log) {
  const read = async () => ({ at: clock.wall(), absent: {}, ...reading() });
  return createPower({
    settings: { ...loadConfig({}, {}).power, ...settings },
    reader: { read, latest: () => ({ at: clock.wall(), absent: {}, ...reading() }) },
    clock,
    log,
  });
}

/** Errors a delivery meets. */
export const failing = (error: () => KamadoError | null) => async (): Promise<void> => {
  const thrown = error();
  if (thrown) throw thrown;
};
