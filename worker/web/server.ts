// The worker's own address: its health for machines, its state for people. The console grows from here.

import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { KamadoError } from "../errors.ts";
import type { State } from "./state.ts";
import { statePage } from "./state-page.ts";

export type Web = { url: string; stop(): Promise<void> };

export function createWebApp(state: () => State): Hono {
  const app = new Hono();
  app.get("/health", (context) => {
    const { status, queue, engine, running, waiting } = state();
    return context.json(
      { status, queue: queue.health, engine: engine.answers, running, waiting },
      status === "UNHEALTHY" ? 503 : 200,
    );
  });
  app.get("/state", (context) => context.json(state()));
  app.get("/", (context) => context.html(statePage(state())));
  return app;
}

/** Listens on loopback only. Port 0 takes any free one. */
export async function startWeb(options: { port: number; state(): State }): Promise<Web> {
  const { promise, resolve, reject } = Promise.withResolvers<AddressInfo>();
  const server = serve(
    { fetch: createWebApp(options.state).fetch, port: options.port, hostname: "127.0.0.1" },
    resolve,
  );
  server.once("error", (error) => {
    reject(
      new KamadoError(
        "config_invalid",
        `KAMADO_WEB_PORT: port ${options.port} cannot be used (${error.message}); set another.`,
        { cause: error },
      ),
    );
  });
  const { port } = await promise;
  let stopped: Promise<void> | undefined;
  return {
    url: `http://127.0.0.1:${port}`,
    stop: () => (stopped ??= new Promise((done) => server.close(() => done()))),
  };
}
