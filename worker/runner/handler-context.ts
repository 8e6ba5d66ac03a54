// What a handler works with, made of the worker's parts.

import type { Clock } from "../async/clock.ts";
import type { Config } from "../config/config.ts";
import type { Registry } from "../job/registry.ts";
import type { JobEvents } from "../logging/job-events.ts";
import type { EngineClient } from "../model/engine-client.ts";
import { createModel } from "../model/model.ts";
import { Meter } from "../model/usage.ts";
import type { Outbound } from "../outbound/outbound.ts";
import { createPages } from "../pages/article.ts";
import type { Buckets } from "../storage/bucket.ts";
import type { HandlerDependencies } from "./execute-handler.ts";
import { createInputs } from "./inputs.ts";

export type Parts = {
  config: Config;
  registry: Registry;
  /** The buckets that jobs may read from. */
  buckets: Buckets;
  outbound: Outbound;
  client: EngineClient;
  jobEvents: JobEvents;
  clock: Clock;
};

export function createHandlerDependencies({
  config,
  registry,
  buckets,
  outbound,
  client,
  jobEvents,
  clock,
}: Parts): HandlerDependencies {
  return {
    registry,
    inputs: createInputs({ outbound, buckets }),
    modelFor({ model, priority, signal }) {
      const meter = new Meter();
      return { model: createModel({ client, meter, signal, model, priority }), used: () => meter.used() };
    },
    pages: createPages(),
    rest: (signal) => ({ get: (url) => outbound.getJson(url, { signal }) }),
    jobEvents,
    clock,
    timeoutSeconds: config.timeoutSeconds,
    workerName: config.workerName,
  };
}
