// The engine's HTTP API: which address does what.
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import type { Logger } from "pino";
import { KamadoError } from "../../errors.ts";
import type { Scheduler } from "../scheduler/scheduler.ts";
import { authorized, bodyOf, demandAuthorized, MAX_BODY_BYTES, tooLarge } from "./auth.ts";
import { chatDialect } from "./chat-reply.ts";
import { parseChat } from "./chat-request.ts";
import { plainDialect } from "./completion-reply.ts";
import { parseCompletion } from "./completion-request.ts";
import { openAiError } from "./openai-errors.ts";
import { CONTENT_TYPE } from "./prometheus.ts";
import type { Dialect } from "./reply.ts";
import type { Asked } from "./request-fields.ts";
import { answer } from "./respond.ts";
import { slotsOf } from "./slots.ts";

export type AppOptions = { scheduler: Scheduler; log: Logger; token?: string | undefined };

export function createApp({ scheduler, log, token }: AppOptions): Hono {
  const app = new Hono();
  const report = (thrown: unknown) => {
    const told = openAiError(thrown);
    if (told.status === 500) log.error({ err: thrown }, "a request failed");
    return told;
  };
  const reply = (c: Context, asked: Asked, dialect: Dialect) => {
    checkModel(scheduler, asked.model);
    return answer(c, asked, { scheduler, dialect, report: (thrown) => report(thrown).body });
  };

  app.onError((thrown, c) => {
    // Nobody reads the answer to a client that has gone; it is no failure of ours either.
    const isGone = c.req.raw.signal.aborted;
    const { status, body, headers } = isGone ? openAiError(thrown) : report(thrown);
    if (c.req.method === "POST") scheduler.metrics.requestEnded(isGone ? "client_gone" : body.error.code);
    if (isGone) return c.body(null, 499 as ContentfulStatusCode);
    return c.json(body, status as ContentfulStatusCode, headers);
  });
  app.notFound((c) => c.json(unknownAddress(c.req.method, c.req.path), 404));

  app.get("/health", (c) => {
    const health = scheduler.health();
    const able = health.state === "READY" || health.state === "BUSY";
    return c.json(authorized(c, token) ? health : { state: health.state }, able ? 200 : 503);
  });
  for (const behindTheToken of ["/v1/*", "/metrics", "/slots"])
    app.use(behindTheToken, async (c, next) => {
      demandAuthorized(c, token);
      await next();
    });
  app.get("/metrics", (c) => c.body(metricsOf(scheduler), 200, { "content-type": CONTENT_TYPE }));
  app.get("/slots", (c) => c.json(slotsOf(scheduler)));
  app.use("/v1/*", bodyLimit({ maxSize: MAX_BODY_BYTES, onError: () => tooLarge() }));
  app.get("/v1/models", (c) => c.json({ object: "list", data: modelsOf(scheduler) }));
  // A name may hold a slash.
  app.get("/v1/models/:id{.+}", (c) => {
    checkModel(scheduler, c.req.param("id"));
    const [model] = modelsOf(scheduler);
    if (model === undefined) throw new KamadoError("engine_unavailable", "The model is being loaded.");
    return c.json(model);
  });
  app.post("/v1/chat/completions", async (c) =>
    reply(c, await parseChat(await bodyOf(c), c.req.raw.headers), chatDialect),
  );
  app.post("/v1/completions", async (c) =>
    reply(c, parseCompletion(await bodyOf(c), c.req.raw.headers), plainDialect),
  );
  return app;
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

function metricsOf(scheduler: Scheduler): string {
  const { info, inside, seats, metrics } = scheduler;
  return metrics.write({ health: scheduler.health(), seats: seats.list(), inside, model: info?.model });
}

function modelsOf({ info }: Scheduler): unknown[] {
  if (!info) return [];
  const { model, contextSize, images, thinks, backend, unsupported } = info;
  const ours = { context_length: contextSize, images, thinks, backend, unsupported };
  return [{ id: model, object: "model", created: 0, owned_by: "kamado", ...ours }];
}

function unknownAddress(method: string, path: string) {
  const message = `There is no ${method} ${path}.`;
  return { error: { message, type: "invalid_request_error", code: "unknown_url", param: null } };
}
