// Which part of the worker answers below which path of its address. Who is let in is decided in console/server.ts.
import type { Mount } from "./console/server.ts";
import type { OpenWorker } from "./main.ts";
import { createMetricsApi } from "./metrics/metrics-api.ts";

export function createMounts({ services }: OpenWorker): Mount[] {
  return [{ path: "/metrics", app: createMetricsApi({ families: services.readMetrics }) }];
}
