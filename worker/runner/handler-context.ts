// What a handler gets to work with: the model, fetched inputs, pages, REST calls and progress, made of the worker's parts.
import { type Clock, systemClock } from "../async/clock.ts";
import { DEFAULT_SLOTS } from "../consumer/concurrency-limit.ts";
import { KamadoError } from "../errors.ts";
import type { Budgets } from "../job/budgets.ts";
import type { Job } from "../job/envelope.ts";
import type { Context, Fetched, InputRefs, Model, Pages, Rest, Search, Texts } from "../job/handler.ts";
import type { Registry } from "../job/registry.ts";
import type { TraceFields } from "../job/trace-context.ts";
import type { JobEvents } from "../logging/job-events.ts";
import { Capabilities } from "../model/capabilities.ts";
import type { EngineClient } from "../model/engine-client.ts";
import { type AroundRequest, createModel, type Usage } from "../model/model.ts";
import { Rates } from "../model/rates.ts";
import { Turns } from "../model/turns.ts";
import type { Destinations } from "../outbound/destinations.ts";
import { JobReads } from "../outbound/job-reads.ts";
import type { Outbound } from "../outbound/outbound.ts";
import { createPages } from "../pages/article.ts";
import { createTexts } from "../pages/chunks.ts";
import { createPageReader, type PageReader } from "../pages/page-reader.ts";
import type { JobCheckpoints } from "../storage/checkpoints.ts";
import type { ReadableObjects } from "../storage/readable-objects.ts";
import type { DailyUsage } from "../tenants/daily-usage.ts";
import { todoServiceAt } from "../todos/open.ts";
import type { Tracer } from "../tracing/tracer.ts";
import { createInputs } from "./inputs.ts";

/** What handlers reach the outside through. */
export type HandlerServices = {
  registry: Registry;
  inputs(refs: InputRefs, signal: AbortSignal): Promise<Fetched<InputRefs>>;
  /** A model for one job, and what that job has used of it so far. */
  modelFor(options: {
    model: string | undefined;
    priority: number;
    signal: AbortSignal;
    /** In which the job's requests to the engine are made. */
    trace: TraceFields;
  }): {
    model: Model;
    used(): Usage;
  };
  pages: Omit<Pages, "read"> & Pick<PageReader, "read">;
  texts: Texts;
  rest(signal: AbortSignal): Rest;
  search: Search;
  checkpoints: JobCheckpoints;
  estimate: Context["estimate"];
};

/** What all runs of handlers share. */
export type HandlerDependencies = HandlerServices & {
  jobEvents: JobEvents;
  clock: Clock;
  /** [passes on the trace of the job] */
  tracer?: Tracer | undefined;
  /** The energy that a running job has taken so far; undefined where it cannot be told. */
  joulesOf?: ((job: string) => number | undefined) | undefined;
  /** For jobs whose policy names no other limit. */
  timeoutSeconds: number;
  budgets: Budgets;
  /** Counts what a day's jobs use, and refuses those for which nothing is left. */
  usage?: Pick<DailyUsage, "begin"> | undefined;
  workerName: string;
};

export function createHandlerServices(options: {
  registry: Registry;
  objects: ReadableObjects;
  outbound: Outbound;
  client: EngineClient;
  /** The same as `outbound` has. */
  destinations: Destinations;
  budgets: Budgets;
  /** How many requests of one job may be at the engine at the same time. */
  requestsAtOnce: number;
  /** How many jobs run at once, where the owner says so. */
  slots?: number | undefined;
  /** Under which sites see the requests for pages. */
  userAgent?: string | undefined;
  /** Called around each request to the engine. */
  around?: AroundRequest | undefined;
  /** [nothing is measured yet] */
  rates?: Rates | undefined;
  /** [none is set up] */
  search?: Search | undefined;
  /** [none are kept] */
  checkpoints?: JobCheckpoints | undefined;
}): HandlerServices {
  const { registry, client, outbound, budgets, requestsAtOnce } = options;
  const rates = options.rates ?? new Rates(systemClock);
  const around = rates.around(options.around);
  const capabilities = new Capabilities();
  const turns = new Turns({ atOnce: requestsAtOnce, slots: () => client.slots });
  const reads = new JobReads({ outbound, slots: () => options.slots ?? client.slots ?? DEFAULT_SLOTS });
  const pages = createPages();
  const { document } = pages;
  const reader = createPageReader({ ...options, document });
  return {
    registry,
    inputs: (refs, signal) => {
      const outbound = reads.for(signal);
      const fetch: PageReader["fetch"] = (url, how) => reader.fetch(url, { ...how, outbound });
      return createInputs({ ...options, outbound, pages: { ...reader, fetch, document } })(refs, signal);
    },
    modelFor: (ofJob) => createModel({ ...ofJob, client, turns, capabilities, budget: budgets, around }),
    pages: { ...pages, read: reader.read },
    texts: createTexts(),
    rest: (signal) => restOf(reads.for(signal), options.destinations, signal),
    search: options.search ?? NO_SEARCH,
    checkpoints: options.checkpoints ?? NO_CHECKPOINTS,
    estimate: rates.estimate,
  };
}

/** Whom the destinations file does not list. */
const NOBODY = "https://search.invalid/";
const NO_SEARCH: Search = {
  provider: null,
  web: async () => {
    throw new KamadoError("search_not_set_up", "This worker has no search service.");
  },
};

const NO_CHECKPOINTS: JobCheckpoints = {
  of: () => ({ get: async () => undefined, put: async () => {} }),
  remove: async () => {},
};

function restOf(reads: ReturnType<JobReads["for"]>, destinations: Destinations, signal: AbortSignal): Rest {
  const get = (url: string) => reads.getJson(url, { signal });
  return {
    get,
    todos: async (url) => {
      const service = todoServiceAt(destinations, url);
      return service ? service.list((request) => reads.send({ ...request, signal })) : get(url);
    },
  };
}

const within = (signal: AbortSignal, own: AbortSignal | undefined) =>
  own ? AbortSignal.any([signal, own]) : signal;

/** The context of one run. `signal` fires when the run must end, and when it has ended. */
export function contextOf(
  job: Job,
  model: Model,
  inputs: Fetched<InputRefs>,
  { signal, timeLeftMs, used }: Pick<Context, "signal" | "timeLeftMs" | "used">,
  { pages, texts, rest, search, checkpoints, estimate, budgets, jobEvents }: HandlerDependencies,
): Context<InputRefs> {
  const { id, kind } = job;
  return {
    model,
    pages: {
      ...pages,
      read: (url, how) =>
        pages.read(url, {
          signal: within(signal, how?.signal),
          timeLeftMs,
          ledBy: how?.isFound ? (search.url ?? NOBODY) : undefined,
        }),
    },
    texts,
    rest: rest(signal),
    search: {
      provider: search.provider,
      web: (query, options = {}) => search.web(query, { ...options, signal: within(signal, options.signal) }),
    },
    checkpoints: checkpoints.of(job, signal),
    estimate,
    budget: budgets,
    used,
    timeLeftMs,
    inputs,
    progress: (done, what) =>
      jobEvents.emit({ stage: "progress", job: id, kind, done, ...(what && { what }) }, "progress"),
    signal,
  };
}
