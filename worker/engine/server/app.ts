// The engine's HTTP API: which address does what, and who may ask. The POST endpoints go on in read-body.ts, requests.ts and
// responses.ts (the way in), respond.ts (running), replies.ts and response-replies.ts (the way out); /metrics is metrics.ts.
import type { HttpBindings } from "@hono/node-server";
import { type Context, Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Logger } from "pino";
import { KamadoError } from "../../errors.ts";
import { isOwnName, sameSecret } from "../../http/auth.ts";
import { CONTENT_TYPE } from "../../metrics/prometheus.ts";
import { INTERACTIVE } from "../scheduler/queue-order.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import { type Hold, MemoryBudget } from "./memory-budget.ts";
import type { Metrics } from "./metrics.ts";
import { openAiError } from "./openai-errors.ts";
import { unknownAddress } from "./other-addresses.ts";
import { jsonBody } from "./read-body.ts";
import { chatFormat, completionFormat, type Json, type ReplyFormat } from "./replies.ts";
import { type ParsedRequest, parseChat, parseCompletion } from "./requests.ts";
import { respond } from "./respond.ts";
import { RememberedItems } from "./response-items.ts";
import { responseFormat } from "./response-replies.ts";
import { parseResponse } from "./responses.ts";

export type AppOptions = {
  scheduler: Scheduler;
  metrics: Metrics;
  log: Logger;
  token?: string | undefined;
  /** Other names of the model, beside its file's. */
  names?: readonly string[];
  budget?: MemoryBudget;
  /** A client that reads nothing for so long of what was sent is hung up on. [30 s] */
  unreadMs?: number;
};

export function createApp(options: AppOptions): Hono {
  const { scheduler, metrics, log, token, budget = new MemoryBudget(), unreadMs = 30_000 } = options;
  const { names = [] } = options;
  const app = new Hono({ strict: false });
  const report = (thrown: unknown) => {
    const error = openAiError(thrown);
    if (error.status === 500) log.error({ err: thrown }, "a request failed");
    return error;
  };
  const items = new RememberedItems();
  const answer = async (c: Context, parse: Parse, hold: Hold) => {
    const { incoming } = c.env as HttpBindings;
    // Before the body is read: a request for which there is no room costs nothing.
    const info = scheduler.expectRoom();
    const { parsed, format } = parse(await jsonBody(incoming, hold, info), c.req.raw.headers);
    checkModel(scheduler, parsed.model, names);
    const reportBody = (thrown: unknown) => report(thrown).body;
    return respond(c, parsed, { scheduler, metrics, hold, format, report: reportBody });
  };
  const answering = (parse: Parse) => async (c: Context) => {
    const { outgoing } = c.env as HttpBindings;
    const hold = budget.hold();
    const closed = new Promise((resolve) => outgoing.once("close", resolve));
    // Also when the client goes away, memory is held until the work on its request has ended.
    return answer(c, parse, hold).finally(() => void closed.then(() => hold.release()));
  };

  app.onError((thrown, c) => {
    // A client that has gone reads no response, and its going is no failure of the engine.
    const isGone = c.req.raw.signal.aborted || (thrown instanceof KamadoError && thrown.code === "canceled");
    const { status, body, headers } = isGone ? openAiError(thrown) : report(thrown);
    if (c.req.method === "POST") metrics.requestEnded(isGone ? "client_gone" : body.error.code);
    if (isGone) return c.body(null, 499 as ContentfulStatusCode);
    return c.json(body, status as ContentfulStatusCode, headers);
  });
  app.notFound((c) => c.json(unsupported(unknownAddress(c.req.method, c.req.path)), 404));

  app.use(async (c, next) => {
    const { outgoing } = c.env as HttpBindings;
    outgoing.setTimeout(unreadMs, () => outgoing.writableLength > 0 && outgoing.destroy());
    await next();
  });
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
  app.get("/v1/models", (c) => c.json({ object: "list", data: [modelOf(scheduler)] }));
  // A model's name may contain slashes.
  app.get("/v1/models/:id{.+}", (c) => {
    checkModel(scheduler, c.req.param("id"), names);
    return c.json(modelOf(scheduler));
  });
  app.post(
    "/v1/chat/completions",
    answering((body, headers) => ({ parsed: parseChat(body, headers), format: chatFormat })),
  );
  app.post(
    "/v1/completions",
    answering((body, headers) => ({ parsed: parseCompletion(body, headers), format: completionFormat })),
  );
  app.post(
    "/v1/responses",
    answering((body, headers) => {
      const parsed = parseResponse(body, headers, items);
      return { parsed, format: responseFormat(parsed.asked, items) };
    }),
  );
  app.all("/v1/responses/:id{.+}", (c) => c.json(unsupported(NO_RESPONSES), 404));
  app.all("/v1/embeddings", (c) => c.json(unsupported(NO_EMBEDDINGS), 404));
  return app;
}

type Parse = (body: unknown, headers: Headers) => { parsed: ParsedRequest; format: ReplyFormat };

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

function checkModel(scheduler: Scheduler, wanted: string | undefined, names: readonly string[]): void {
  const { model: served, file } = scheduler.info ?? {};
  if (served === undefined || wanted === served) return;
  // What the file calls itself was the name until the file's own became it.
  if (file && (wanted === file.name || wanted === file.title)) return;
  if (wanted === undefined || wanted === "" || wanted === "default" || names.includes(wanted)) return;
  const [has, asks] = [JSON.stringify(served), JSON.stringify(wanted)];
  throw new KamadoError("model_not_loaded", `This engine serves ${has}, not ${asks}.`, {
    detail: { param: "model" },
  });
}

/** While there is none, an empty list would look as if the engine served no model at all. */
function modelOf({ info, hasTools: tools }: Scheduler): Json {
  if (!info) throw new KamadoError("engine_unavailable", "The model is being loaded.");
  const { model, file, template, contextSize, images, thinks, backend, unsupported } = info;
  const ours = {
    context_length: contextSize,
    images,
    thinks,
    tools,
    backend,
    unsupported,
    file: file?.name ?? null,
    quantization: file?.quantization ?? null,
    title: file?.title ?? null,
    chat_template: template?.from ?? null,
  };
  return { id: model, object: "model", created: 0, owned_by: "kamado", ...ours };
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

const NO_RESPONSES =
  "This engine keeps no responses, so there is none to get, cancel or delete. POST /v1/responses answers at once.";
const NO_EMBEDDINGS =
  "This engine runs a model that writes text and makes no embeddings. Run an embedding model beside it, for example with llama-server --embeddings or Ollama, and point the client for embeddings there.";

function unsupported(message: string): Json {
  return { error: { message, type: "invalid_request_error", code: "unknown_url", param: null } };
}
