// Puts a worker together from its parts: consumers that pull jobs and run them, and one that works the outbox. main.ts brings
// the real parts; tests bring fakes.
import type { Clock } from "./async/clock.ts";
import type { Config } from "./config/config.ts";
import { latestJobs, type State, shownCheck, shownEngine, stateOf } from "./console/state.ts";
import { ConcurrencyLimit } from "./consumer/concurrency-limit.ts";
import { ConsumerGroup, type Source } from "./consumer/consumer-group.ts";
import { HealthCheck } from "./consumer/health-check.ts";
import type { Deliver } from "./deliver/deliver.ts";
import { type ErrorCode, KamadoError } from "./errors.ts";
import type { ObjectRule } from "./job/object-rules.ts";
import { createJobClaims } from "./job-lock/job-claim.ts";
import { errorOf, type JobEvent, JobEvents } from "./logging/job-events.ts";
import type { Log } from "./logging/log.ts";
import type { EngineClient } from "./model/engine-client.ts";
import { openDeliveries } from "./outbox/open-outbox.ts";
import type { Power } from "./power/power.ts";
import { OUTBOX_HINTS, shownOf } from "./queue/health.ts";
import type { Queue } from "./queue/queue.ts";
import type { HandlerServices } from "./runner/handler-context.ts";
import { Quarantine } from "./runner/quarantine.ts";
import { createReadMessage, turnOf } from "./runner/read-message.ts";
import { runJob } from "./runner/run-job.ts";
import { createSplitEvent } from "./runner/split-event.ts";
import type { Bucket } from "./storage/bucket.ts";
import { bucketHint, probeBucket, shownBucket } from "./storage/health.ts";
import type { ReadableObjects } from "./storage/readable-objects.ts";
import { createResults } from "./storage/results.ts";
import type { DailyUsage } from "./tenants/daily-usage.ts";
import { tenantsOf } from "./tenants/tenant-list.ts";
import { passOn, type Tracer } from "./tracing/tracer.ts";

/** Everything that reaches outside the process. */
export type Parts = {
  queues: {
    /** Never empty. */
    jobs: readonly { queue: Queue; weight: number }[];
    dead: Pick<Queue, "send">;
    /** The outbox. Without one, a failed delivery keeps its job's message. */
    deliveries: Queue | undefined;
    deadDeliveries: Pick<Queue, "send">;
  };
  /** Results, locks, logs and the outbox. */
  bucket: Bucket;
  /** What pointers and events may name. */
  objects: ReadableObjects;
  rules: readonly ObjectRule[];
  handlers: HandlerServices;
  engine: {
    url: string;
    model: string;
    isDemo: boolean;
    health: EngineClient["health"];
    /** The engine died while jobs of this worker were in it, which are held apart from now on: it need not wait to start again. */
    restartSoon?: (() => void) | undefined;
    /** Why an engine of our own is not ready; undefined while nothing is wrong with it. */
    trouble?: (() => KamadoError | undefined) | undefined;
  };
  deliver: Deliver;
  /** What is read of the machine, and what pauses pulling. */
  power?: Power;
  /** What must hold before the first job is pulled, and again when a queue is back. Resolves with null when it does. Must not reject. */
  startCheck(): Promise<KamadoError | null>;
  /** What tenants and kinds have used today, and may use. Without it nothing is counted. */
  usage?: DailyUsage | undefined;
  /** Where a result goes when its job names no destination. */
  topicArn: string | undefined;
  /** [the trace of a job is passed on as it came] */
  tracer?: Tracer | undefined;
  clock: Clock;
  log: Log;
  close(): Promise<void>;
};

export type Settings = Pick<
  Config,
  | "workerName"
  | "slots"
  | "prefetch"
  | "lookAhead"
  | "visibilitySeconds"
  | "pollSeconds"
  | "drainSeconds"
  | "timeoutSeconds"
  | "budgets"
  | "maxAttempts"
  | "retrySeconds"
  | "deliveryDelaysMs"
>;

export type Worker = ReturnType<typeof createWorker>;

export function createWorker(parts: Parts, settings: Settings) {
  const { queues, bucket, objects, rules, power, topicArn, tracer = passOn, clock, log } = parts;
  const { url, model, isDemo } = parts.engine;
  const shared = { ...settings, bucket, worker: settings.workerName, tracer, clock, log };
  const jobEvents = new JobEvents(log);
  const results = createResults(bucket, log);
  const claims = createJobClaims(shared);
  const concurrency = new ConcurrencyLimit(settings, { clock, log });
  const health = healthChecks(parts, concurrency);
  const topic = topicArn === undefined ? [] : [{ sns: topicArn }];
  const { registry, search } = parts.handlers;
  const fallback = (kind: string) => (registry.get(kind)?.storedOnly ? [] : topic);
  const { deliverAll, deadLetters, outboxConsumer } = openDeliveries({
    ...shared,
    queues,
    deliver: parts.deliver,
    fallback,
    results,
    jobEvents,
    delaysMs: settings.deliveryDelaysMs,
  });
  const onEngineDeath = () => {
    health.engine.lost();
    parts.engine.restartSoon?.();
  };
  const dependencies = {
    readMessage: createReadMessage({ objects, rules, budgets: settings.budgets }),
    claims,
    results,
    quarantine: new Quarantine({ engine: health.engine, onDeath: onEngineDeath, clock }),
    engine: health.engine,
    handlers: {
      ...parts.handlers,
      ...settings,
      jobEvents,
      joulesOf: power?.joulesOf,
      tracer,
      usage: parts.usage,
      clock,
    },
    deliverAll,
    deadLetters,
    jobEvents,
    tracer,
    maxAttempts: settings.maxAttempts,
    retryMs: settings.retrySeconds * 1_000,
    clock,
  };
  const sources = queues.jobs.map(({ queue, weight }): Source => {
    const own = { ...dependencies, split: createSplitEvent({ queue, bucket }) };
    return { queue, weight, work: (lease, controls) => runJob(lease, controls, own) };
  });
  const jobConsumer = new ConsumerGroup(sources, {
    ...shared,
    concurrency,
    turnOf: (message) => turnOf(message, rules, settings.budgets),
    lookAhead: settings.lookAhead,
    health: [health.engine, health.bucket, health.startCheck, ...(power ? [power.pause] : [])],
    // The network may have been away at the start, or others have changed rights and clock.
    onAnswersAgain: () => health.startCheck.lost(),
  });
  const latest = latestJobs(jobEvents);
  jobEvents.subscribe((event) => {
    const error = sharedErrorOf(event, bucket);
    if (error === "engine_unavailable") health.engine.suspect();
    if (error === "storage_unavailable") health.bucket.suspect();
    if (event.stage === "ended")
      concurrency.onEnded(event.job, error, jobConsumer.running + jobConsumer.finishing - 1);
  });
  let stopped: Promise<void> | undefined;

  async function drain(): Promise<void> {
    const deadlineMs = settings.drainSeconds * 1_000;
    await Promise.all([jobConsumer.stop(deadlineMs), outboxConsumer?.stop(deadlineMs)]);
    for (const one of Object.values(health)) one.stop();
    await power?.stop();
    await claims.locks.idle();
    await parts.close();
  }

  return {
    jobEvents,
    jobConsumer,
    outboxConsumer,
    health,
    power,
    start(): void {
      power?.start(jobEvents);
      jobConsumer.start();
      outboxConsumer?.start();
    },
    /** Stops pulling, gives back what has not started, waits for the rest up to the drain deadline, then cuts it. */
    stop: (): Promise<void> => (stopped ??= drain()),
    /** Ends the wait of a stop. */
    cut(): void {
      jobConsumer.cut();
      outboxConsumer?.cut();
    },
    /** What was used since midnight, by tenant and kind, and what may be; null where nothing is counted. */
    usage: () => parts.usage?.today() ?? null,
    state: (): State =>
      stateOf({
        isStopping: stopped !== undefined,
        queue: shownOf(queues.jobs[0]!.queue.url, jobConsumer),
        deliveries: outboxConsumer ? shownOf(queues.deliveries!.url, outboxConsumer, OUTBOX_HINTS) : null,
        engine: { url, model, isDemo, ...shownEngine(health.engine) },
        bucket: shownBucket(bucket, health.bucket.cause),
        startCheck: shownCheck(health.startCheck),
        ...(power?.pause.pause && { paused: power.pause.pause }),
        topic: topicArn ?? null,
        ...(search.provider !== null && { search: search.provider }),
        running: jobConsumer.running,
        delivering: jobConsumer.finishing,
        waiting: jobConsumer.waiting,
        slots: concurrency.slots,
        allSlots: concurrency.allSlots,
        latest,
        tenants: tenantsOf(jobConsumer.tenants, parts.usage?.today()),
      }),
  };
}

/** No job is pulled while one of these does not answer. */
function healthChecks({ bucket, engine, startCheck, clock, log }: Parts, concurrency: ConcurrencyLimit) {
  const probeEngine = async () => {
    const health = await engine.health();
    if (health.is === "ready") concurrency.setEngineSlots(health.slots);
    if (health.is === "ready") return null;
    const trouble = engine.trouble?.();
    if (trouble) return logged(trouble);
    if (health.is === "down")
      return new KamadoError("engine_unavailable", `The engine does not answer yet: ${health.reason}.`);
    return new KamadoError("engine_unavailable", "It loads its model.", { detail: { isLoading: true } });
  };
  const probe = () => probeBucket(bucket);
  return {
    // An engine that has loaded its model is used at once; a call to a bucket may cost money.
    engine: new HealthCheck({ what: "engine", probe: probeEngine, longestPauseMs: 500, clock, log }),
    bucket: new HealthCheck({ what: "bucket", probe, hint: bucketHint, longestPauseMs: 15_000, clock, log }),
    startCheck: new HealthCheck({
      what: "start check",
      probe: startCheck,
      hint: ({ hint }) => hint,
      longestPauseMs: 60_000,
      clock,
      log,
    }),
  };
}

/** The supervisor has said it. */
const logged = ({ code, message, hint }: KamadoError) =>
  new KamadoError(code, message, { hint, detail: { isLogged: true } });

/** What a job met that other jobs may meet too. A bucket that only its job reads is that job's trouble. */
function sharedErrorOf(event: JobEvent, { name }: Bucket): ErrorCode | undefined {
  if (event.stage !== "ended") return errorOf(event);
  const isOwn = event.bucket === undefined || event.bucket === name;
  return isOwn ? (event.lastError ?? event.error) : undefined;
}
