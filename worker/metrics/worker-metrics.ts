// What the worker counts: from the events of jobs, the requests to the engine, and its state at the moment somebody asks. A label takes few
// values, whatever a sender writes: a kind that is not registered counts as "unknown". Names and units are in catalogue.ts, Prometheus's
// format in prometheus.ts.
import type { State } from "../console/state.ts";
import { ERRORS } from "../errors.ts";
import type { EventFacts, JobEvent, JobEvents } from "../logging/job-events.ts";
import type { PowerState } from "../power/power.ts";
import { CODE_ATTRIBUTE } from "../queue/dead-letter.ts";
import type { Queue } from "../queue/queue.ts";
import { METRICS } from "./catalogue.ts";
import { family, measured, type WorkerFamily } from "./family.ts";
import { machineFamilies } from "./machine-families.ts";
import { Counter, Histogram, type Labels, type Sample } from "./prometheus.ts";

/** One request to the engine that ended. */
export type EngineRequest = {
  /** What the engine calls itself. */
  engine: string;
  model: string | null;
  tookMs: number;
  /** Of a request that was answered. */
  tokens?: { input: number; output: number; cached: number };
  error?: string;
};

/** Messages of one queue, by state. */
export type QueueDepth = { queue: string; waiting: number; inFlight: number; delayed: number };

// The bounds that the conventions recommend for engines; jobs wait for minutes, and run for as long.
const DURATION = [
  0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68,
];
const LONG_DURATION = [
  0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 21_600, 86_400,
];
const TOKENS = [1, 4, 16, 64, 256, 1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576];

const DESTINATIONS = ["callback", "rest", "sns", "sqs"];
const STATES = ["STARTING", "READY", "BUSY", "PAUSED", "DRAINING", "UNHEALTHY"] as const;
/** A job may name any model, and an engine may answer with any name. */
const MOST_MODELS = 50;

/** A message that is worked on. `isStarted`: its handler runs, so that its receipt is of this run. */
type Running = { at: number; receivedAt: number | undefined; isStarted: boolean };

export class WorkerMetrics {
  readonly #isKind: (kind: string) => boolean;
  readonly #running = new Map<string, Running[]>();
  readonly #models = new Set<string>();
  #lastQueuedMs: number | undefined;

  readonly #consumed = new Counter();
  readonly #jobs = new Counter();
  readonly #attempts = new Counter();
  readonly #tokens = new Counter();
  readonly #deliveries = new Counter();
  readonly #deadLetters = new Counter();
  readonly #processed = new Histogram(DURATION);
  readonly #queued = new Histogram(LONG_DURATION);
  readonly #waited = new Histogram(LONG_DURATION);
  readonly #ran = new Histogram(DURATION);
  readonly #inferred = new Histogram(DURATION);
  readonly #delivered = new Histogram(DURATION);
  readonly #asked = new Histogram(DURATION);
  readonly #usage = new Histogram(TOKENS);

  /** `isKind`: whether a handler is registered for the kind. */
  constructor({ isKind }: { isKind(kind: string): boolean }) {
    this.#isKind = isKind;
  }

  listen(jobEvents: Pick<JobEvents, "subscribe">): void {
    jobEvents.subscribe((event, facts) => this.#count(event, facts));
  }

  #count(event: JobEvent, facts: EventFacts): void {
    const labels = { kind: this.#kindOf(event.kind) };
    if (event.stage === "received") this.#onReceived(event, facts, labels);
    if (event.stage === "started") this.#onStarted(event, labels);
    if (event.stage === "delivered" || event.stage === "delivery_failed") this.#onDelivery(facts);
    if (event.stage === "ended") this.#onEnded(event, labels);
  }

  #onReceived(event: Of<"received">, { message }: EventFacts, labels: Labels): void {
    const running = { at: event.at, receivedAt: message?.receivedAt, isStarted: false };
    this.#running.set(event.job, [...(this.#running.get(event.job) ?? []), running]);
    this.#consumed.add({ ...SQS, messaging_operation_name: "receive" });
    if (typeof message?.sentAt !== "number") return;
    this.#lastQueuedMs = Math.max(0, message.receivedAt - message.sentAt);
    // A message that comes back has been in the queue since it was sent, but was not waiting there.
    if (event.receives === 1) this.#queued.observe(this.#lastQueuedMs / 1_000, labels);
  }

  #onStarted(event: Of<"started">, labels: Labels): void {
    this.#attempts.add(labels);
    const running = this.#running.get(event.job)?.find(({ isStarted }) => !isStarted);
    if (!running) return;
    running.isStarted = true;
    if (running.receivedAt !== undefined)
      this.#waited.observe(Math.max(0, event.at - running.receivedAt) / 1_000, labels);
  }

  #onDelivery({ delivery }: EventFacts): void {
    // The end of a destination says so too, without a try.
    if (!delivery) return;
    const kind = delivery.to.split(":", 1)[0]!;
    const labels = {
      destination: DESTINATIONS.includes(kind) ? kind : "unknown",
      outcome: delivery.outcome.replaceAll(" ", "_"),
      ...errorLabel(delivery.error),
    };
    this.#deliveries.add(labels);
    if (delivery.outcome !== "held back") this.#delivered.observe(delivery.tookMs / 1_000, labels);
  }

  #onEnded(event: Of<"ended">, labels: Labels): void {
    // Of two messages of one job the later one ends first, because it finds the job running.
    const running = this.#takeRunning(event.job);
    const { outcome, error, receipt } = event;
    const ended = { ...labels, ...errorLabel(error) };
    this.#jobs.add({ ...ended, outcome: outcome === "rejected" ? "failed" : outcome });
    if (running && outcome !== "interrupted" && outcome !== "ignored")
      this.#processed.observe(Math.max(0, event.at - running.at) / 1_000, {
        ...SQS,
        messaging_operation_name: "process",
        ...ended,
      });
    if (!running?.isStarted || !receipt) return;
    for (const [type, count] of [
      ["prompt", receipt.promptTokens],
      ["cached", receipt.cachedTokens],
      ["completion", receipt.completionTokens],
    ] as const)
      this.#tokens.add({ ...labels, type: type }, count);
    if (receipt.runMs !== undefined) this.#ran.observe(receipt.runMs / 1_000, labels);
    if (receipt.model !== null) this.#inferred.observe(receipt.inferenceMs / 1_000, labels);
  }

  #takeRunning(job: string): Running | undefined {
    const all = this.#running.get(job) ?? [];
    const last = all.pop();
    if (all.length === 0) this.#running.delete(job);
    return last;
  }

  /** A dead-letter queue that counts what it takes. */
  counting(name: "jobs" | "deliveries", queue: Pick<Queue, "send">): Pick<Queue, "send"> {
    return {
      send: async (body, options) => {
        const id = await queue.send(body, options);
        this.#deadLetters.add({ queue: name, ...errorLabel(options?.attributes?.[CODE_ATTRIBUTE]) });
        return id;
      },
    };
  }

  /** One request to the engine came to its end. */
  engineAsked({ engine, model, tookMs, tokens, error }: EngineRequest): void {
    const labels = {
      gen_ai_operation_name: "chat",
      gen_ai_provider_name: this.#bounded(engine),
      ...(model !== null && { gen_ai_response_model: this.#bounded(model) }),
    };
    this.#asked.observe(tookMs / 1_000, { ...labels, ...errorLabel(error) });
    for (const [type, count] of Object.entries(tokens ?? {}))
      this.#usage.observe(count, { ...labels, gen_ai_token_type: type });
  }

  #bounded(name: string): string {
    if (!this.#models.has(name) && this.#models.size >= MOST_MODELS) return "other";
    this.#models.add(name);
    return name.slice(0, 200);
  }

  #kindOf(kind: string | undefined): string {
    return kind !== undefined && this.#isKind(kind) ? kind : "unknown";
  }

  /** All metrics, with the worker's state as it is now. */
  families({
    state,
    worker,
    depths = [],
    diskFree,
    historyDropped,
    openCircuits,
    power,
  }: Now): WorkerFamily[] {
    return [
      family(METRICS.consumed, this.#consumed.samples()),
      family(METRICS.jobs, this.#jobs.samples()),
      family(METRICS.attempts, this.#attempts.samples()),
      family(METRICS.tokens, this.#tokens.samples()),
      family(METRICS.deliveries, this.#deliveries.samples()),
      family(METRICS.deadLetters, this.#deadLetters.samples()),
      family(METRICS.historyDropped, one(historyDropped)),
      measured(METRICS.processed, this.#processed),
      measured(METRICS.queued, this.#queued),
      measured(METRICS.waited, this.#waited),
      measured(METRICS.ran, this.#ran),
      measured(METRICS.inferred, this.#inferred),
      measured(METRICS.delivered, this.#delivered),
      measured(METRICS.asked, this.#asked),
      measured(METRICS.usage, this.#usage),
      ...stateFamilies(state, worker),
      family(METRICS.depth, depths.flatMap(depthSamples)),
      family(METRICS.age, this.#age(depths)),
      family(METRICS.diskFree, one(diskFree)),
      family(METRICS.circuits, one(openCircuits)),
      ...(power ? machineFamilies(power) : []),
      ...processFamilies(),
    ].filter(({ samples }) => samples.length > 0);
  }

  /** The queues of jobs come first. */
  #age([jobs]: readonly QueueDepth[]): Sample[] {
    if (jobs?.waiting === 0) return one(0);
    return one(this.#lastQueuedMs === undefined ? undefined : this.#lastQueuedMs / 1_000);
  }
}

export type Now = {
  state: State;
  worker: string;
  /** That of the jobs first; none where they are not known. */
  depths?: readonly QueueDepth[] | undefined;
  /** Bytes; undefined where the disk does not say. */
  diskFree?: number | undefined;
  /** How many events the history left out. */
  historyDropped?: number | undefined;
  /** Destinations and origins to which nothing is sent for a while. */
  openCircuits?: number | undefined;
  power?: Pick<PowerState, "reading" | "paused"> | undefined;
};

type Of<S extends JobEvent["stage"]> = Extract<JobEvent, { stage: S }>;

const SQS = { messaging_system: "aws_sqs" };

/** Codes are a closed set; what another version stored may have others. */
const errorLabel = (code: string | undefined): Labels =>
  code === undefined ? {} : { error_type: code in ERRORS ? code : "_OTHER" };

function stateFamilies(state: State, worker: string): WorkerFamily[] {
  const { status, queue, deliveries, engine, bucket, startCheck } = state;
  const up: [string, boolean][] = [
    ["queue", queue.health === "ok"],
    ...(deliveries ? [["deliveries", deliveries.health === "ok"] as [string, boolean]] : []),
    ["engine", engine.answers],
    ["bucket", bucket.answers],
    ...(startCheck ? [["start_check", startCheck.passed] as [string, boolean]] : []),
  ];
  const held = { running: state.running, waiting: state.waiting, delivering: state.delivering };
  return [
    family(METRICS.info, [{ labels: { worker, model: engine.model }, value: 1 }]),
    family(
      METRICS.state,
      STATES.map((one) => ({ labels: { state: one }, value: Number(one === status) })),
    ),
    family(
      METRICS.up,
      up.map(([part, isUp]) => ({ labels: { part }, value: Number(isUp) })),
    ),
    family(
      METRICS.held,
      Object.entries(held).map(([name, value]) => ({ labels: { state: name }, value })),
    ),
    family(METRICS.slots, one(state.slots)),
    family(METRICS.allSlots, one(state.allSlots)),
    family(METRICS.handles, one(state.process.handles)),
  ];
}

function processFamilies(): WorkerFamily[] {
  const { user, system } = process.cpuUsage();
  return [
    family(METRICS.memory, one(process.memoryUsage.rss())),
    family(METRICS.cpu, one((user + system) / 1e6)),
    family(METRICS.uptime, one(process.uptime())),
  ];
}

const depthSamples = ({ queue, waiting, inFlight, delayed }: QueueDepth): Sample[] =>
  Object.entries({ waiting, in_flight: inFlight, delayed }).map(([state, value]) => ({
    labels: { queue, state },
    value,
  }));

const one = (value: number | undefined): Sample[] => (value === undefined ? [] : [{ value }]);
