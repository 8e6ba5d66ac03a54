// The jobs API over HTTP: the addresses of routes.ts, with the stream of events, uploads and files beside them. Owns how a request is read.
// Who may ask is decided in console/server.ts; what is done, in the services.
import { type Context, Hono } from "hono";
import { KamadoError } from "../errors.ts";
import { readRequest } from "../http/bounded-body.ts";
import { errorAnswer } from "../http/error-answer.ts";
import { checkSent } from "../job/check-values.ts";
import { JobId } from "../job/envelope.ts";
import { jsonOfBody } from "../job/json-body.ts";
import { traceFields } from "../job/trace-context.ts";
import type { Log } from "../logging/log.ts";
import { EventStream } from "./events.ts";
import { openApiDocument } from "./openapi.ts";
import { ROUTES, type Route } from "./routes.ts";
import { EventsQuery } from "./schemas.ts";
import type { ApiServices } from "./services.ts";

export type JobsApiOptions = {
  services: ApiServices;
  /** Of an upload. Bytes. */
  maxUpload: number;
  log: Pick<Log, "error">;
};

/** Of JSON. What is longer is better uploaded. Bytes. */
const MAX_BODY = 8 * 1024 * 1024;
/** What a form adds to its file. */
const FORM_BYTES = 64 * 1024;

export function createJobsApi({ services, maxUpload, log }: JobsApiOptions): Hono {
  const app = new Hono();
  const events = new EventStream(services);
  app.onError((thrown, { req }) => {
    // Who hung up in the middle of his request made no error here, and hears no answer.
    if (!(thrown instanceof KamadoError) && !req.raw.signal.aborted)
      log.error({ stage: "api", err: thrown }, "the jobs API met an unexpected error");
    return errorAnswer(thrown);
  });
  app.notFound(({ req }) =>
    errorAnswer(new KamadoError("no_such_address", `There is nothing at ${req.path.slice(0, 200)}.`)),
  );
  for (const route of ROUTES)
    app.on(route.method.toUpperCase(), honoPath(route.path), (context) => answer(route, context, services));
  app.get("/events", (context) => stream(context, events));
  app.post("/uploads", (context) => upload(context, services, maxUpload));
  app.get("/jobs/:id/inputs/:name", (context) => input(context, services));
  app.get("/openapi.json", ({ json }) => json(openApiDocument()));
  refuseOtherMethods(app);
  return app;
}

const honoPath = (path: string) => path.replaceAll(/\{(\w+)\}/g, ":$1");

async function answer(route: Route, context: Context, services: ApiServices): Promise<Response> {
  const given = {
    params: context.req.param() as Record<string, string>,
    query: route.query ? checkSent(route.query, context.req.query()) : {},
    body: route.body ? await bodyOf(route, context) : {},
    idempotencyKey: keyOf(context),
    trace: traceFields({
      traceparent: context.req.header("traceparent"),
      tracestate: context.req.header("tracestate"),
    }),
  };
  checkIds(route, given);
  const { status, body, headers = {} } = await route.run(services, given);
  return Response.json(body, { status, headers });
}

async function bodyOf({ body, id }: Route, context: Context): Promise<unknown> {
  const { req } = context;
  const tooLarge = () => new KamadoError("body_too_large", `The body has more than ${MAX_BODY} bytes.`);
  const bytes = await readRequest(req.raw, { maxBytes: MAX_BODY, tooLarge });
  // A replay has nothing that must be said.
  if (bytes.length === 0 && id === "replayJob") return {};
  const type = req.header("content-type") ?? "";
  if (!/^application\/([\w.-]+\+)?json\s*(;|$)/i.test(type))
    throw new KamadoError(
      "unsupported_media_type",
      `The body is ${type === "" ? "of no type" : type.slice(0, 100)}.`,
    );
  return checkSent(body!, jsonOfBody(bytes));
}

const keyOf = ({ req }: Context): string | undefined => req.header("idempotency-key")?.trim() || undefined;

type Ids = { params: Record<string, string>; body: unknown; idempotencyKey: string | undefined };

/** An id may stand in the path, in the body and in a header; they must not contradict each other. */
function checkIds({ id: route }: Route, { params, body, idempotencyKey }: Ids): void {
  const own = (body as { id?: string }).id;
  const outside = route === "sendJob" ? idempotencyKey : params.id;
  const where = route === "sendJob" ? "Idempotency-Key" : "id";
  if (outside === undefined || route.endsWith("DeadLetter")) return;
  const parsed = JobId.safeParse(outside);
  if (!parsed.success)
    throw new KamadoError("invalid_input", `${where}: ${parsed.error.issues[0]!.message}.`);
  if (own !== undefined && own !== outside)
    throw new KamadoError(
      "invalid_input",
      `id: the body says ${JSON.stringify(own)}, and not what ${where === "id" ? "the path" : where} says.`,
    );
}

/** A proxy must neither keep the stream nor wait for its end. */
const STREAM = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  "x-accel-buffering": "no",
};

function stream({ req, env }: Context, events: EventStream): Response {
  const { job } = checkSent(EventsQuery, req.query());
  // Of Node's server; there is none where the app is called without one.
  const { outgoing } = (env ?? {}) as { outgoing?: { destroy(): void } };
  const opened = events.open({ since: req.header("last-event-id"), job, hangUp: () => outgoing?.destroy() });
  if (!opened) throw new KamadoError("too_many_readers", "Too many clients read the events.");
  return new Response(opened, { headers: STREAM });
}

async function upload(context: Context, { jobs }: ApiServices, maxUpload: number): Promise<Response> {
  const tooLarge = () => new KamadoError("input_too_large", `The file has more than ${maxUpload} bytes.`);
  const { req } = context;
  const body = await readRequest(req.raw, { maxBytes: maxUpload + FORM_BYTES, tooLarge });
  const { bytes, name } = await fileIn(body, req.header("content-type") ?? "");
  if (bytes.length === 0) throw new KamadoError("invalid_input", "The body has no file.");
  const sent = await jobs.upload(bytes, { name: req.query("name")?.slice(0, 200) ?? name });
  return Response.json(sent, { status: 201 });
}

async function fileIn(
  bytes: Uint8Array<ArrayBuffer>,
  type: string,
): Promise<{ bytes: Uint8Array; name?: string }> {
  if (!/^multipart\/form-data/i.test(type)) return { bytes };
  const form = await new Response(bytes, { headers: { "content-type": type } }).formData().catch(() => {
    throw new KamadoError("invalid_input", "The form cannot be read.");
  });
  const files = [...form.values()].filter((value) => value instanceof File);
  const [file] = files;
  if (!file || files.length > 1)
    throw new KamadoError("invalid_input", `The form has ${files.length} files; send one.`);
  return { bytes: new Uint8Array(await file.arrayBuffer()), name: file.name };
}

/** Of what somebody uploaded. A browser must not find a page in it. */
async function input({ req }: Context, { jobs }: ApiServices): Promise<Response> {
  const { id = "", name = "" } = req.param() as { id?: string; name?: string };
  const { bytes, contentType } = await jobs.input(id, name);
  const isShown = contentType.startsWith("image/");
  return new Response(bytes as Uint8Array<ArrayBuffer>, {
    headers: {
      "content-type": contentType,
      "x-content-type-options": "nosniff",
      "content-disposition": isShown ? "inline" : "attachment",
      "cache-control": "private, max-age=3600",
    },
  });
}

function refuseOtherMethods(app: Hono): void {
  const methods = new Map<string, Set<string>>();
  for (const { path, method } of app.routes)
    if (method !== "ALL") methods.set(path, (methods.get(path) ?? new Set()).add(method));
  for (const [path, all] of methods)
    app.all(path, ({ req }) => {
      const response = errorAnswer(
        new KamadoError("method_not_allowed", `${req.method} is no method of this address.`),
      );
      response.headers.set("allow", [...all].join(", "));
      return response;
    });
}
