// The worker's own address: its health for machines, its state for people, and what its other parts answer below their paths. It lets in
// whom access/ lets in, refuses changes to who may only read, and says in every answer what a browser may do with it.
import type { AddressInfo, Socket } from "node:net";
import { join } from "node:path";
import { type HttpBindings, type ServerType, serve } from "@hono/node-server";
import { type Context, Hono, type MiddlewareHandler } from "hono";
import { secureHeaders } from "hono/secure-headers";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { type Access, checkRight, createAccess } from "../access/access.ts";
import { type Asking, addressOf, isSafe, wantsPage } from "../access/asking.ts";
import { type CloudflareOptions, createVerify } from "../access/cloudflare.ts";
import { systemClock } from "../async/clock.ts";
import type { Secret } from "../config/secret.ts";
import { KamadoError, toKamadoError } from "../errors.ts";
import { BodyRoom } from "../http/body-room.ts";
import { errorAnswer } from "../http/error-answer.ts";
import { isLoopback } from "../http/loopback.ts";
import { SERVE_OPTIONS } from "../http/server-limits.ts";
import { whyNotFree } from "../http/who-listens.ts";
import type { Log } from "../logging/log.ts";
import { printable } from "../printable.ts";
import { createSignIn, refusalPage, SIGN_IN, STYLE, sessionOf } from "./sign-in.ts";
import type { State } from "./state.ts";
import { createStaticFiles } from "./static-files.ts";

export type Web = { url: string; stop(): Promise<void> };

export type Mount = {
  path: string;
  app: Hono;
  /**
   * It tells itself what changes something: its requests are POSTs that may only read. It has to call `checkRight` or look at
   * `visitor.mayChange`, and to log who changed what. [false: who may only read can GET and HEAD]
   */
  checksRights?: boolean;
  /** It writes what is long to the disk as it comes, and holds no body in memory. [false] */
  streamsBodies?: boolean;
  /** Its code is loaded with the first request: what it has then, with whole paths. */
  load?(): Promise<Pick<Hono, "routes">>;
};

export type WebOptions = {
  port: number;
  /** [127.0.0.1] */
  host?: string;
  /** Demanded from whoever asks; needed where others than this machine can ask. */
  token?: Secret | undefined;
  /** Lets its user read and change nothing. */
  readToken?: Secret | undefined;
  /** Cloudflare Access. */
  access?: CloudflareOptions | undefined;
  /** Where sessions outlive a restart. */
  dataDir?: string | undefined;
  log?: Log | undefined;
  state(): State;
  mounts?: readonly Mount[];
  /** How long a client may take nothing of what waits for it [60,000]. */
  unreadMs?: number;
  /** Of the bodies of requests that are held in memory, all together. */
  bodyBytes?: number;
};

/** A page that is open in a browser, or a download that goes on, takes something within a second or two. */
const UNREAD_MS = 60_000;

const NOTHING = ["'none'"];
const SELF = ["'self'"];

/**
 * Much of what a page shows comes from outside, so a page runs and loads only what this server has as a file, and no other page may show it in
 * a frame. Pictures are shown before they are sent, and thus may be of the page itself.
 */
const HEADERS = {
  contentSecurityPolicy: {
    defaultSrc: NOTHING,
    scriptSrc: SELF,
    styleSrc: SELF,
    imgSrc: ["'self'", "data:", "blob:"],
    mediaSrc: ["'self'", "blob:"],
    connectSrc: SELF,
    manifestSrc: SELF,
    formAction: SELF,
    baseUri: NOTHING,
    frameAncestors: NOTHING,
  },
  xFrameOptions: "DENY",
  // With none at all a browser hides from us too where a form comes from (`Origin: null`), and our own could not be told from others.
  referrerPolicy: "same-origin",
  // Plain HTTP; what stands in front of it decides about TLS.
  strictTransportSecurity: false,
};

type AppOptions = Omit<WebOptions, "port">;

const here = (name: string) => join(import.meta.dirname, name);

export function createWebApp(options: AppOptions): Hono {
  const { state, mounts = [], log } = options;
  const app = new Hono();
  const access = accessOf(options);
  const assets = createStaticFiles({ [STYLE]: here(STYLE) });
  const isCareful = (path: string) => mounts.some((one) => one.checksRights && isBelow(path, one.path));
  const isStreamed = (path: string) => mounts.some((one) => one.streamsBodies && isBelow(path, one.path));
  const room = new BodyRoom(options.bodyBytes ?? BODY_BYTES);
  app.use(secureHeaders(HEADERS));
  app.use(notKept);
  app.use(onlyHead);
  app.onError((thrown) => refusal(thrown));
  app.route("/", assets.app);
  app.route("/", createSignIn({ access, assets, askingOf, said: saying(log) }));
  app.use(async (context, next) => {
    const asking = askingOf(context);
    try {
      const visitor = await access.visitorOf(asking, sessionOf(context));
      context.set("visitor", visitor);
      if (!isCareful(context.req.path)) checkRight(visitor, asking.method);
    } catch (thrown) {
      return refuse(context, toKamadoError(thrown, "unauthorized"));
    }
    const held = isStreamed(context.req.path) ? NO_BODY : room.enter(context.req.raw);
    if (!held) return refusal(new KamadoError("server_busy", BUSY));
    await next().finally(held.leave);
    if (!isCareful(context.req.path)) logChange(log, context);
  });

  function refuse(context: Context, error: KamadoError) {
    const { path } = context.req;
    // What only asks whether it lives, as a container's health check does, hears that and no more.
    if (path === "/health" && isSafe(context.req.method)) {
      const { status } = state();
      return context.json({ status }, status === "UNHEALTHY" ? 503 : 200);
    }
    // Nobody should send a form again because he signs in.
    const next = isSafe(context.req.method) ? path + new URL(context.req.url).search : "/";
    const canSignIn = access.hasSignIn && error.code === "unauthorized";
    if (!wantsPage(askingOf(context))) {
      const answer = refusal(error);
      // htmx goes there itself.
      if (canSignIn && context.req.header("hx-request")) answer.headers.set("hx-redirect", SIGN_IN);
      return answer;
    }
    if (canSignIn) return context.redirect(`${SIGN_IN}?next=${encodeURIComponent(next)}`, 303);
    return refusalPage({ context, assets, status: error.status as ContentfulStatusCode }, error);
  }

  app.get("/health", (context) => {
    const {
      status,
      queue,
      deliveries,
      engine,
      bucket,
      startCheck,
      disk,
      paused,
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
        ...(paused && { paused }),
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
  for (const mount of mounts) app.route(mount.path, mount.app);
  app.notFound(({ req }) =>
    errorAnswer(new KamadoError("no_such_address", `There is nothing at ${req.path}.`)),
  );
  return app;
}

/** A dozen pictures of phones. Parsing a form takes some more. */
const BODY_BYTES = 128 * 1024 * 1024;
const NO_BODY = { leave() {} };
const BUSY = "Other requests hold all the memory that there is for what is sent.";

const isBelow = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`);

function accessOf({ host = "127.0.0.1", token, readToken, access, dataDir }: AppOptions): Access {
  return createAccess({
    token,
    readToken,
    isOnLoopback: isLoopback(host),
    verifyAssertion: access && createVerify(access, systemClock),
    sessionsFile: dataDir && join(dataDir, "sessions.json"),
    clock: systemClock,
  });
}

function askingOf({ req, env }: Context): Asking {
  const peer = (env as Partial<HttpBindings> | undefined)?.incoming?.socket?.remoteAddress;
  return { method: req.method, headers: req.raw.headers, peer };
}

/** Pages and answers show what is true now, and not to whoever uses the browser next. A route that knows better says so. */
const notKept: MiddlewareHandler = async (context, next) => {
  await next();
  if (!context.res.headers.has("cache-control")) context.header("cache-control", "no-store");
};

/** Whoever asks for the head alone gets no body, so what would have been its stream, such as an open file, is closed. */
const onlyHead: MiddlewareHandler = async (context, next) => {
  await next();
  if (context.req.method === "HEAD") await context.res.body?.cancel().catch(() => {});
};

function refusal(thrown: unknown): Response {
  const answer = errorAnswer(thrown);
  if (answer.status === 401) answer.headers.set("www-authenticate", 'Bearer realm="Kamado"');
  return answer;
}

const saying = (log: Log | undefined) => (asking: Asking, what: string, error?: KamadoError) => {
  const from = printable(addressOf(asking), { max: 64 });
  if (error) log?.warn({ stage: "console", from, error: error.code }, what);
  else log?.info({ stage: "console", from }, what);
};

/** Who changed what. A query may hold what was searched for, so it is left out. */
function logChange(log: Log | undefined, context: Context): void {
  const { method, path } = context.req;
  if (isSafe(method)) return;
  const { by, name } = context.get("visitor");
  const who = name === undefined ? by : printable(name, { max: 200 });
  log?.info(
    { stage: "console", who, by, status: context.res.status },
    `${method} ${printable(path, { max: 200 })}`,
  );
}

/** A file of a batch has up to 200 MB, and may come through a tunnel. Who may not upload is refused before its body is read. */
const UPLOAD_MS = 600_000;

/** Port 0 takes any free one. Throws `config_invalid` for an address others can reach without a token. */
export async function startWeb(options: WebOptions): Promise<Web> {
  const { host = "127.0.0.1", token, readToken, access } = options;
  if (!isLoopback(host) && !token && !readToken && !access)
    throw new KamadoError(
      "config_invalid",
      `KAMADO_WEB_HOST: ${host} can be reached from outside; set KAMADO_WEB_TOKEN or KAMADO_WEB_TOKEN_FILE too.`,
    );
  const { promise, resolve, reject } = Promise.withResolvers<AddressInfo>();
  const serverOptions = { ...SERVE_OPTIONS.serverOptions, requestTimeout: UPLOAD_MS };
  const listen = { ...SERVE_OPTIONS, serverOptions, port: options.port, hostname: host };
  const server = serve({ fetch: createWebApp(options).fetch, ...listen }, resolve);
  const at = (port: number) => `http://${host.includes(":") ? `[${host}]` : host}:${port}`;
  server.once("error", async (cause) => {
    const why = await whyNotFree((cause as NodeJS.ErrnoException).code, at(options.port));
    const words = `KAMADO_WEB_PORT: port ${options.port} of ${host} ${why}; stop what listens there or set another.`;
    reject(new KamadoError("config_invalid", words, { cause }));
  });
  // Without it, whoever reads nothing would keep his stream or his file open for ever, and with many of them nobody else got one.
  server.setTimeout(options.unreadMs ?? UNREAD_MS);
  server.on("timeout", (socket: Socket) => void (socket.writableLength > 0 && socket.destroy()));
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
