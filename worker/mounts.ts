// Which part of the worker answers below which path of its address. Who is let in is decided in console/server.ts.
import type { Mount } from "./console/server.ts";
import type { OpenWorker } from "./main.ts";
import { createSchedulesApi } from "./schedules/api.ts";

export function createMounts({ schedules }: OpenWorker): Mount[] {
  return [{ path: "/schedules", app: createSchedulesApi(schedules) }];
}
