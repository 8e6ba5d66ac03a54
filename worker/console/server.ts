// The worker's own address: its health for machines, its state for people. The console grows from here.
import type { AddressInfo } from "node:net";
import { type ServerType, serve } from "@hono/node-server";
import { Hono } from "hono";
import { secureHeaders } from "hono/secure-headers";
import type { Secret } from "../config/secret.ts";
import { KamadoError } from "../errors.ts";
import { isLoopback } from "../http/loopback.ts";
import { SERVE_OPTIONS } from "../http/server-limits.ts";
import { whyNotFree } from "../http/who-listens.ts";
import { isAllowed, refuse } from "./auth.ts";
import type { State } from "./state.ts";
import { STYLE_HASH, statePage } from "./status-page.ts";

export type Web = { url: string; stop(): Promise<void> };

/** A part of the worker that answers below a path of this address. Who is let in is decided here. */
export type Mount = { path: string; app: Hono };

export type WebOptions = {
  port: number;
  /** [127.0.0.1] */
  host?: string;
  /** Demanded from whoever asks; needed where others than this machine can ask. */
  token?: Secret | undefined;
  state(): State;
  mounts?: readonly Mount[];
};

const NOTHING = ["'none'"];

/** A job's id or kind comes from outside, so the page may run nothing and load nothing, and no other page may show it in a frame. */
const HEADERS = {
  contentSecurityPolicy: {
    defaultSrc: NOTHING,
    styleSrc: [STYLE_HASH],
    baseUri: NOTHING,
    formAction: NOTHING,
    frameAncestors: NOTHING,
  },
  xFrameOptions: "DENY",
  // Plain HTTP; what stands in front of it decides about TLS.
  strictTransportSecurity: false,
};

export function createWebApp({
  state,
  token,
  mounts = [],
}: Pick<WebOptions, "state" | "token" | "mounts">): Hono {
  const app = new Hono();
  app.use(secureHeaders(HEADERS));
  app.use(async (context, next) => {
    if (isAllowed(context, token)) return next();
    // What only asks whether it lives, as a container's health check does, hears that and no more.
    if (context.req.path !== "/health") return refuse(context, token);
    const { status } = state();
    return context.json({ status }, status === "UNHEALTHY" ? 503 : 200);
  });
  app.get("/health", (context) => {
    const {
      status,
      queue,
      deliveries,
      engine,
      bucket,
      startCheck,
      disk,
      running,
      delivering,
      waiting,
      slots,
      allSlots,
    } = state();
    return context.json(
      {
        status,
        queue: queue.health,
        ...(queue.hint && { hint: queue.hint }),
        ...(deliveries && { deliveries: deliveries.health }),
        ...(deliveries?.hint && { deliveriesHint: deliveries.hint }),
        engine: engine.answers,
        ...(engine.error && { engineError: engine.error }),
        bucket: bucket.answers,
        ...(bucket.hint && { bucketHint: bucket.hint }),
        ...(startCheck && { startCheck: startCheck.passed }),
        ...(startCheck?.error && { startCheckError: startCheck.error }),
        ...(disk?.hint && { disk: "disk_full", diskHint: disk.hint }),
        running,
        delivering,
        waiting,
        slots,
        allSlots,
        // By it a command knows that this is the process it looks for.
        pid: process.pid,
      },
      status === "UNHEALTHY" ? 503 : 200,
    );
  });
  app.get("/state", (context) => context.json(state()));
  app.get("/", (context) => context.html(statePage(state())));
  for (const mount of mounts) app.route(mount.path, mount.app);
  return app;
}

/** Port 0 takes any free one. Throws `config_invalid` for an address others can reach without a token. */
export async function startWeb(options: WebOptions): Promise<Web> {
  const { host = "127.0.0.1", token } = options;
  if (!isLoopback(host) && token === undefined)
    throw new KamadoError(
      "config_invalid",
      `KAMADO_WEB_HOST: ${host} can be reached from outside; set KAMADO_WEB_TOKEN or KAMADO_WEB_TOKEN_FILE too.`,
    );
  const { promise, resolve, reject } = Promise.withResolvers<AddressInfo>();
  const listen = { ...SERVE_OPTIONS, port: options.port, hostname: host };
  const server = serve({ fetch: createWebApp(options).fetch, ...listen }, resolve);
  const at = (port: number) => `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
  server.once("error", async (cause) => {
    const why = await whyNotFree((cause as NodeJS.ErrnoException).code, at(options.port));
    const words = `KAMADO_WEB_PORT: port ${options.port} of ${host} ${why}; stop what listens there or set another.`;
    reject(new KamadoError("config_invalid", words, { cause }));
  });
  const { port } = await promise;
  let stopped: Promise<void> | undefined;
  return {
    url: at(port),
    stop: () => (stopped ??= close(server)),
  };
}

/** How long an answer may still be on its way. A request that never ends must not keep the worker from ending. */
const GRACE_MS = 1_000;

async function close(server: ServerType): Promise<void> {
  const closed = new Promise((done) => server.close(done));
  const timer = setTimeout(() => "closeAllConnections" in server && server.closeAllConnections(), GRACE_MS);
  await closed;
  clearTimeout(timer);
}
