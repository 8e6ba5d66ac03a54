// The REST API: routes, validation, and errors that say which field is wrong; and what the page asks besides it. Requests that name another
// host than this machine are refused, because there is no login: a web page could resolve a name of its own to this machine (DNS rebinding).
import { type Context, Hono } from "hono";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { KamadoError } from "kamado/client";
import { z } from "zod";
import { isOwnName } from "../../worker/http/auth.ts";
import { Changes, streamChanges } from "./changes.ts";
import { once } from "./idempotency.ts";
import { pageRoutes } from "./page.ts";
import { NewSentence, problemOf, type Sentences } from "./sentences.ts";
import type { Answer, TodoStore } from "./store.ts";
import { NewTodo, Status, TodoChange } from "./todo.ts";

const MAX_BODY = 64 * 1024;

const ListQuery = z.strictObject({
  status: Status.optional(),
  limit: z.coerce.number().int().min(1).max(500).default(500),
});

type Parts = { changes?: Changes; sentences?: Sentences | undefined; stopping?: AbortSignal | undefined };

/** `stopping` ends the streams of changes. */
export function todoApp(
  store: TodoStore,
  { changes = new Changes(), sentences, stopping }: Parts = {},
): Hono {
  const app = new Hono();
  const missing = (id: string): Answer => failure(404, `There is no todo ${JSON.stringify(id)}.`);

  app.use(async (c, next) => {
    const host = c.req.header("host") ?? new URL(c.req.url).host;
    if (isOwnName(host)) return next();
    return send(c, failure(403, `This service is only for this machine, and not served as ${host}.`));
  });
  app.route("/", pageRoutes({ hasSentences: sentences !== undefined }));
  app.get("/changes", (c) => streamChanges(c, changes, stopping));
  // After the answer: a change is in the list before anybody is told of it.
  app.use("/todos/*", async (c, next) => {
    await next();
    const isChange = c.req.method !== "GET" && c.res.ok && !c.res.headers.has("Idempotency-Replayed");
    if (isChange) changes.tell();
  });

  app.get("/todos", (c) => c.json(store.list(ListQuery.parse(c.req.query()))));

  app.get("/todos/:id", (c) => {
    const { id } = c.req.param();
    const todo = store.get(id);
    return send(c, todo ? success(200, todo) : missing(id));
  });

  app.post("/todos", async (c) => {
    const fields = NewTodo.parse(await body(c));
    return change(c, store, fields, () => success(201, store.add(fields)));
  });

  app.patch("/todos/:id", async (c) => {
    const { id } = c.req.param();
    const fields = TodoChange.parse(await body(c));
    return change(c, store, fields, () => {
      const todo = store.change(id, fields);
      return todo ? success(200, todo) : missing(id);
    });
  });

  app.delete("/todos/:id", (c) => {
    const { id } = c.req.param();
    return store.remove(id) ? c.body(null, 204) : send(c, missing(id));
  });

  if (sentences) sentenceRoutes(app, sentences);

  app.notFound((c) => send(c, failure(404, `There is no ${c.req.method} ${c.req.path}.`)));
  app.onError((error, c) => {
    if (error instanceof HTTPException) return send(c, failure(error.status, error.message));
    if (error instanceof z.ZodError) return send(c, invalid(error));
    if (error instanceof KamadoError) return send(c, success(503, { error: problemOf(error) }));
    console.error(error);
    return send(c, failure(500, "Something went wrong; the log says what."));
  });
  return app;
}

function sentenceRoutes(app: Hono, sentences: Sentences): void {
  app.get("/sentences", async (c) =>
    c.json({ sentences: sentences.list(), problem: await sentences.problem() }),
  );
  app.post("/sentences", async (c) => {
    const { text } = NewSentence.parse(await body(c));
    return send(c, success(202, await sentences.say(text)));
  });
  app.delete("/sentences/:id", (c) => {
    const { id } = c.req.param();
    if (sentences.forget(id)) return c.body(null, 204);
    return send(c, failure(404, `There is no sentence ${JSON.stringify(id)}.`));
  });
}

const success = (status: number, value: unknown): Answer => ({ status, body: JSON.stringify(value) });
const failure = (status: number, message: string, fields: object = {}): Answer =>
  success(status, { error: { message, ...fields } });

function invalid({ issues }: z.ZodError): Answer {
  const fields = issues.map(({ path, message }) => ({ field: path.join(".") || "(the body)", message }));
  return failure(400, fields.map(({ field, message }) => `${field}: ${message}`).join("; "), { fields });
}

// Only JSON. A web page can make a browser send a form here, but not with this content type.
async function body(c: Context): Promise<unknown> {
  if (!/^application\/(.+\+)?json\b/i.test(c.req.header("content-type") ?? ""))
    throw new HTTPException(415, { message: "Send JSON, with Content-Type: application/json." });
  const text = await textOf(c);
  try {
    return JSON.parse(text);
  } catch {
    throw new HTTPException(400, { message: "The body is not JSON." });
  }
}

/** Whether its length was announced or not. Hono's own limit fails for the latter, and for DELETE, with requests of the Node adapter. */
async function textOf(c: Context): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = Number(c.req.header("content-length") ?? 0);
  const reader = c.req.raw.body?.getReader();
  for (let read = 0; length <= MAX_BODY; length = Math.max(length, read)) {
    const { value } = (await reader?.read()) ?? {};
    if (value === undefined) return Buffer.concat(chunks).toString();
    read += value.length;
    chunks.push(value);
  }
  throw new HTTPException(413, { message: `The body is longer than ${MAX_BODY} bytes.` });
}

function change(c: Context, store: TodoStore, fields: unknown, act: () => Answer): Response {
  const request = [c.req.method, c.req.path, fields];
  const done = once(store, c.req.header("idempotency-key"), request, act);
  if ("refused" in done) return send(c, failure(done.status, done.refused));
  if (done.replayed) c.header("Idempotency-Replayed", "true");
  if (done.status === 201) c.header("Location", `/todos/${JSON.parse(done.body).id}`);
  return send(c, done);
}

const send = (c: Context, answer: Answer): Response =>
  c.body(answer.body, answer.status as ContentfulStatusCode, { "Content-Type": "application/json" });
