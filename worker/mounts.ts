// Which part of the worker answers below which path of its address. Most of them are loaded when somebody asks them for the first time; what
// they need to have heard of jobs before is listened to from the start. Who is let in is decided in console/server.ts.
import { rememberProgress } from "./api/job-progress.ts";
import type { ApiServices } from "./api/services.ts";
import { lazyMount } from "./console/lazy-mount.ts";
import type { Mount } from "./console/server.ts";
import { SIGN_OUT } from "./console/sign-in.ts";
import type { OpenWorker } from "./main.ts";
import { FollowJobs } from "./mcp/follow-jobs.ts";
import { createMetricsApi } from "./metrics/metrics-api.ts";
import { createResults } from "./storage/results.ts";

export function createMounts(worker: OpenWorker): Mount[] {
  const services = servicesOf(worker);
  const { readMetrics } = worker.services;
  return [
    mcpOf(worker),
    lazyMount("/", () => jobsApiOf(worker, services)),
    batchesOf(worker),
    { path: "/metrics", app: createMetricsApi({ families: readMetrics }) },
    lazyMount("/schedules", async () => {
      const { createSchedulesApi } = await import("./schedules/api.ts");
      return createSchedulesApi(worker.schedules);
    }),
    lazyMount("/", () => consoleOf(worker, services)),
  ];
}

/** The same ones for every part. */
function servicesOf(worker: OpenWorker): () => Promise<ApiServices> {
  const progress = rememberProgress(worker.jobEvents);
  let services: ApiServices | undefined;
  return async () => {
    const { createServices } = await import("./api-services.ts");
    services ??= createServices(worker, progress);
    return services;
  };
}

async function jobsApiOf({ services: { config, log } }: OpenWorker, services: () => Promise<ApiServices>) {
  const { createJobsApi } = await import("./api/app.ts");
  return createJobsApi({ services: await services(), maxUpload: config.budgets.inputBytes, log });
}

function batchesOf({ batches, services: { log } }: OpenWorker): Mount {
  const load = async () => {
    const { createBatchesApi } = await import("./batches/api.ts");
    return createBatchesApi({ batches, log });
  };
  return lazyMount("/v1", load, { streamsBodies: true });
}

/** Its requests are all POSTs; each tool says whether it changes anything. */
function mcpOf({ services, jobEvents }: OpenWorker): Mount {
  const jobs = new FollowJobs(jobEvents, createResults(services.bucket), services.clock);
  const load = async () => {
    const { createMcp } = await import("./mcp/mcp.ts");
    return createMcp({ ...services, jobs });
  };
  return lazyMount("/mcp", load, { checksRights: true });
}

async function consoleOf(worker: OpenWorker, services: () => Promise<ApiServices>) {
  const { createConsole } = await import("./console/console.ts");
  const { createEngineView } = await import("./console/engine-view.ts");
  const { catalogue } = await import("./models/catalogue.ts");
  const { state, schedules } = worker;
  const { config } = worker.services;
  const { hostedPrice: price, memoryBandwidth: bandwidth } = config.web;
  const engine = createEngineView({ url: state().engine.url, token: config.engine.token?.reveal() });
  return createConsole({
    ...(await services()),
    state,
    schedules,
    engine,
    price,
    bandwidth,
    catalogue: () => catalogue().map(({ model, ...one }) => ({ ...one, bytes: model.bytes })),
    mayChange: (context) => context.get("visitor").mayChange,
    signOut: (context) => (context.get("visitor").by === "session" ? SIGN_OUT : undefined),
  });
}
