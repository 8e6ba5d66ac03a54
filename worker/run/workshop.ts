// What a handler works with, made of the worker's parts.
import type { Blobs } from "../blobs/blobs.ts";
import type { Clock } from "../clock.ts";
import type { Config } from "../config.ts";
import type { Registry } from "../job/registry.ts";
import type { EngineClient } from "../model/engine-client.ts";
import { createModel } from "../model/model.ts";
import { Meter } from "../model/usage.ts";
import type { Outbound } from "../outbound/outbound.ts";
import { createPages } from "../pages/article.ts";
import { createInputs } from "./inputs.ts";
import type { Journal } from "./journal.ts";
import type { Workshop } from "./perform.ts";

export type Parts = {
  config: Config;
  registry: Registry;
  blobs: Blobs;
  outbound: Outbound;
  client: EngineClient;
  journal: Journal;
  clock: Clock;
};

export function createWorkshop({
  config,
  registry,
  blobs,
  outbound,
  client,
  journal,
  clock,
}: Parts): Workshop {
  return {
    registry,
    inputs: createInputs({ blobs, outbound, buckets: config.buckets }),
    modelFor({ model, priority, signal }) {
      const meter = new Meter();
      return { model: createModel({ client, meter, signal, model, priority }), used: () => meter.used() };
    },
    pages: createPages(),
    rest: (signal) => ({ get: (url) => outbound.getJson(url, { signal }) }),
    journal,
    clock,
    timeoutSeconds: config.timeoutSeconds,
    workerName: config.workerName,
  };
}
