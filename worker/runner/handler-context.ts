// What a handler works with, made of the worker's parts.

import type { Clock } from "../async/clock.ts";
import type { Config } from "../config/config.ts";
import type { Registry } from "../job/registry.ts";
import type { JobEvents } from "../logging/job-events.ts";
import type { EngineClient } from "../model/engine-client.ts";
import { createModel } from "../model/model.ts";
import type { Outbound } from "../outbound/outbound.ts";
import { createPages } from "../pages/article.ts";
import type { Blobs } from "../storage/bucket.ts";
import type { HandlerDependencies } from "./execute-handler.ts";
import { createInputs } from "./inputs.ts";

export type Parts = {
  config: Config;
  registry: Registry;
  blobs: Blobs;
  outbound: Outbound;
  client: EngineClient;
  jobEvents: JobEvents;
  clock: Clock;
};

export function createHandlerDependencies({
  config,
  registry,
  blobs,
  outbound,
  client,
  jobEvents,
  clock,
}: Parts): HandlerDependencies {
  return {
    registry,
    inputs: createInputs({ blobs, outbound, buckets: config.buckets }),
    modelFor: ({ model, priority, signal }) => createModel({ client, signal, model, priority }),
    pages: createPages(),
    rest: (signal) => ({ get: (url) => outbound.getJson(url, { signal }) }),
    jobEvents,
    clock,
    timeoutSeconds: config.timeoutSeconds,
    workerName: config.workerName,
  };
}
