// The jobs API over HTTP: the addresses of routes.ts, with the stream of events, uploads and files beside them. Owns how a request is read
// and what every error looks like. Who may ask is decided in console/server.ts; what is done, in the services.
import { Readable } from "node:stream";
import type { ReadableStream as WebStream } from "node:stream/web";
import { type Context, Hono } from "hono";
import type { z } from "zod";
import { describeIssues, KamadoError, toKamadoError } from "../errors.ts";
import { readWhole } from "../http/bounded-body.ts";
import { JobId } from "../job/envelope.ts";
import { jsonText, parseJson } from "../job/json.ts";
import { parseSent } from "../job/parse-sent.ts";
import { excessOf } from "../job/structure.ts";
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
    return failure(thrown);
  });
  app.notFound(({ req }) => noSuchAddress(req.path));
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

/** In the shape of all errors of Kamado over HTTP. */
export function failure(thrown: unknown): Response {
  const { code, message, hint, status, retry, detail } = toKamadoError(thrown, "handler_failed");
  const seconds = Math.ceil((detail?.retryAfterMs ?? 1_000) / 1_000);
  return Response.json(
    { error: { code, message, hint } },
    { status, headers: retry && status !== 500 ? { "retry-after": String(seconds) } : {} },
  );
}

export const noSuchAddress = (path: string): Response =>
  failure(new KamadoError("no_such_address", `There is nothing at ${path.slice(0, 200)}.`));

/** Throws `error` as soon as the body is known to be longer. */
async function bytesOf(
  { req }: Context,
  maxBytes: number,
  error: () => KamadoError,
): Promise<Uint8Array<ArrayBuffer>> {
  const { body } = req.raw;
  if (body === null) return new Uint8Array();
  const announced = req.header("content-length");
  return new Uint8Array(
    await readWhole(Readable.fromWeb(body as WebStream), { maxBytes, announced, tooLarge: error }),
  );
}

async function answer(route: Route, context: Context, services: ApiServices): Promise<Response> {
  const given = {
    params: context.req.param() as Record<string, string>,
    query: route.query ? checked(route.query, context.req.query()) : {},
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

function checked(schema: z.ZodType, value: unknown): unknown {
  const parsed = parseSent(schema, value);
  if (parsed.success) return parsed.data;
  throw new KamadoError("invalid_input", describeIssues(parsed.error, parsed.value));
}

async function bodyOf({ body, id }: Route, context: Context): Promise<unknown> {
  const { req } = context;
  const bytes = await bytesOf(
    context,
    MAX_BODY,
    () => new KamadoError("body_too_large", `The body has more than ${MAX_BODY} bytes.`),
  );
  // A replay has nothing that must be said.
  if (bytes.length === 0 && id === "replayJob") return {};
  const type = req.header("content-type") ?? "";
  if (!/^application\/([\w.-]+\+)?json\s*(;|$)/i.test(type))
    throw new KamadoError(
      "unsupported_media_type",
      `The body is ${type === "" ? "of no type" : type.slice(0, 100)}.`,
    );
  const value = jsonIn(bytes);
  return checked(body!, value);
}

function jsonIn(bytes: Uint8Array): unknown {
  let text: string;
  try {
    text = jsonText(bytes);
  } catch {
    throw new KamadoError("malformed_json", "The body is no text in UTF-8.");
  }
  const excess = excessOf(text);
  if (excess !== null) throw new KamadoError("invalid_input", `The body ${excess}.`);
  try {
    return parseJson(text);
  } catch (thrown) {
    throw new KamadoError(
      "malformed_json",
      `The body is not JSON: ${(thrown as Error).message.slice(0, 200)}.`,
    );
  }
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
  const { job } = checked(EventsQuery, req.query()) as { job?: string };
  // Of Node's server; there is none where the app is called without one.
  const { outgoing } = (env ?? {}) as { outgoing?: { destroy(): void } };
  const opened = events.open({ since: req.header("last-event-id"), job, hangUp: () => outgoing?.destroy() });
  if (!opened) throw new KamadoError("too_many_readers", "Too many clients read the events.");
  return new Response(opened, { headers: STREAM });
}

async function upload(context: Context, { jobs }: ApiServices, maxUpload: number): Promise<Response> {
  const tooLarge = () => new KamadoError("input_too_large", `The file has more than ${maxUpload} bytes.`);
  const body = await bytesOf(context, maxUpload + FORM_BYTES, tooLarge);
  const { req } = context;
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
      const response = failure(
        new KamadoError("method_not_allowed", `${req.method} is no method of this address.`),
      );
      response.headers.set("allow", [...all].join(", "));
      return response;
    });
}
