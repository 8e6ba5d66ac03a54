// The engine's HTTP API: which address does what, and who may ask. The two POST endpoints go on in requests.ts (the way in),
// respond.ts (running) and replies.ts (the way out); /metrics is metrics.ts.
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Logger } from "pino";
import { KamadoError } from "../../errors.ts";
import { isOwnName, sameSecret } from "../../http/auth.ts";
import { INTERACTIVE } from "../scheduler/queue-order.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import type { Metrics } from "./metrics.ts";
import { openAiError } from "./openai-errors.ts";
import { CONTENT_TYPE } from "./prometheus.ts";
import { chatFormat, completionFormat, type Json, type ReplyFormat } from "./replies.ts";
import { jsonBody, type ParsedRequest, parseChat, parseCompletion } from "./requests.ts";
import { respond } from "./respond.ts";

export type AppOptions = { scheduler: Scheduler; metrics: Metrics; log: Logger; token?: string | undefined };

const MAX_BODY_BYTES = 48 * 1024 * 1024;

export function createApp({ scheduler, metrics, log, token }: AppOptions): Hono {
  const app = new Hono();
  const report = (thrown: unknown) => {
    const error = openAiError(thrown);
    if (error.status === 500) log.error({ err: thrown }, "a request failed");
    return error;
  };
  const answer = (c: Context, parsed: ParsedRequest, format: ReplyFormat) => {
    checkModel(scheduler, parsed.model);
    return respond(c, parsed, { scheduler, metrics, format, report: (thrown) => report(thrown).body });
  };

  app.onError((thrown, c) => {
    // A client that has gone reads no response, and its going is no failure of the engine.
    const isGone = c.req.raw.signal.aborted;
    const { status, body, headers } = isGone ? openAiError(thrown) : report(thrown);
    if (c.req.method === "POST") metrics.requestEnded(isGone ? "client_gone" : body.error.code);
    if (isGone) return c.body(null, 499 as ContentfulStatusCode);
    return c.json(body, status as ContentfulStatusCode, headers);
  });
  app.notFound((c) => c.json(unknownAddress(c.req.method, c.req.path), 404));

  app.get("/health", (c) => {
    const health = scheduler.health();
    const canServe = health.state === "READY" || health.state === "BUSY";
    return c.json(isAllowed(c, token) ? health : { state: health.state }, canServe ? 200 : 503);
  });
  for (const guarded of ["/v1/*", "/metrics", "/slots"])
    app.use(guarded, async (c, next) => {
      demandToken(c, token);
      await next();
    });
  app.get("/metrics", (c) => c.body(metrics.write(scheduler), 200, { "content-type": CONTENT_TYPE }));
  app.get("/slots", (c) => c.json(slotsOf(scheduler)));
  app.use("/v1/*", bodyLimit({ maxSize: MAX_BODY_BYTES, onError: refuseBody }));
  app.get("/v1/models", (c) => c.json({ object: "list", data: modelsOf(scheduler) }));
  // A model's name may contain slashes.
  app.get("/v1/models/:id{.+}", (c) => {
    checkModel(scheduler, c.req.param("id"));
    const [model] = modelsOf(scheduler);
    if (model === undefined) throw new KamadoError("engine_unavailable", "The model is being loaded.");
    return c.json(model);
  });
  app.post("/v1/chat/completions", async (c) =>
    answer(c, await parseChat(await jsonBody(c), c.req.raw.headers, c.req.raw.signal), chatFormat),
  );
  app.post("/v1/completions", async (c) =>
    answer(c, parseCompletion(await jsonBody(c), c.req.raw.headers), completionFormat),
  );
  return app;
}

/** Without a token the engine listens on loopback only, and asking it by this machine's own name is enough. */
function isAllowed(c: Context, token: string | undefined): boolean {
  if (token === undefined) return isOwnName(c.req.header("host"));
  const given = /^Bearer (.+)$/i.exec(c.req.header("authorization") ?? "")?.[1] ?? "";
  return sameSecret(given, token);
}

function demandToken(c: Context, token: string | undefined): void {
  if (isAllowed(c, token)) return;
  const why =
    token === undefined
      ? "This engine is not served under that host name."
      : "The token is missing or wrong.";
  throw new KamadoError("unauthorized", why);
}

function refuseBody(): never {
  throw new KamadoError("body_too_large", `The body may have at most ${MAX_BODY_BYTES} bytes.`);
}

function checkModel(scheduler: Scheduler, wanted: string | undefined): void {
  const served = scheduler.info?.model;
  if (served === undefined || wanted === served) return;
  if (wanted === undefined || wanted === "" || wanted === "default") return;
  const [has, asks] = [JSON.stringify(served), JSON.stringify(wanted)];
  throw new KamadoError("model_not_loaded", `This engine serves ${has}, not ${asks}.`, {
    detail: { param: "model" },
  });
}

function modelsOf({ info }: Scheduler): Json[] {
  if (!info) return [];
  const { model, contextSize, images, thinks, backend, unsupported } = info;
  const ours = { context_length: contextSize, images, thinks, backend, unsupported };
  return [{ id: model, object: "model", created: 0, owned_by: "kamado", ...ours }];
}

/** How many waiting answers of each class are listed; the count is of all. */
const MAX_LISTED = 100;

/** What the engine does at this moment, for the console. No text of a prompt or an answer is in it. */
function slotsOf(scheduler: Scheduler): Json {
  const { state, model, backend, waiting: count } = scheduler.health();
  const waiting = scheduler.queue.list().map(({ rank, waitedMs }) => {
    return { ...classOf(rank), waitedSeconds: round(waitedMs / 1_000) };
  });
  const ofClass = (wanted: string) => waiting.filter((one) => one.class === wanted).slice(0, MAX_LISTED);
  return {
    state,
    model,
    backend,
    slots: scheduler.slotStats.list().map(({ state, since, tokens, rank }, id) => {
      const whose = rank === null ? { class: null, priority: null } : classOf(rank);
      return { id, state, since: new Date(since).toISOString(), tokens, ...whose };
    }),
    waiting: { count, interactive: ofClass("interactive"), jobs: ofClass("job") },
    tokensPerSecond: round(scheduler.slotStats.tokensPerSecond),
    inside: scheduler.backendState ?? null,
  };
}

const classOf = (rank: number) =>
  rank === INTERACTIVE ? { class: "interactive", priority: null } : { class: "job", priority: rank };
const round = (value: number) => Math.round(value * 100) / 100;

function unknownAddress(method: string, path: string): Json {
  const message = `There is no ${method} ${path}.`;
  return { error: { message, type: "invalid_request_error", code: "unknown_url", param: null } };
}
