// `/metrics` of the worker in Prometheus's text format. Who may read it is decided by the worker's address (console/server.ts).
import { Hono } from "hono";
import { CONTENT_TYPE, type Family, writeFamilies } from "./prometheus.ts";

export function createMetricsApi({ families }: { families(): Promise<readonly Family[]> }): Hono {
  const app = new Hono();
  app.get("/", async (context) =>
    context.body(writeFamilies(await families()), 200, { "content-type": CONTENT_TYPE }),
  );
  return app;
}
