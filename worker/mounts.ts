// Which part of the worker answers below which path of its address. Who is let in is decided in console/server.ts.
import { createBatchesApi } from "./batches/api.ts";
import type { Mount } from "./console/server.ts";
import type { OpenWorker } from "./main.ts";

export function createMounts({ services }: OpenWorker): Mount[] {
  return [{ path: "/v1", app: createBatchesApi(services) }];
}
