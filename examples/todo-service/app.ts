// The REST API: routes, validation, and errors that say which field is wrong.
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { z } from "zod";
import { once } from "./idempotency.ts";
import type { Answer, TodoStore } from "./store.ts";
import { NewTodo, Status, TodoChange } from "./todo.ts";

const MAX_BODY = 64 * 1024;

const ListQuery = z.strictObject({
  status: Status.optional(),
  limit: z.coerce.number().int().min(1).max(500).default(500),
});

export function todoApp(store: TodoStore): Hono {
  const app = new Hono();
  const missing = (id: string): Answer => failure(404, `There is no todo ${JSON.stringify(id)}.`);

  app.use(
    bodyLimit({
      maxSize: MAX_BODY,
      onError: (c) => send(c, failure(413, `The body is longer than ${MAX_BODY} bytes.`)),
    }),
  );

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

  app.notFound((c) => send(c, failure(404, `There is no ${c.req.method} ${c.req.path}.`)));
  app.onError((error, c) => {
    if (error instanceof HTTPException) return send(c, failure(error.status, error.message));
    if (error instanceof z.ZodError) return send(c, invalid(error));
    console.error(error);
    return send(c, failure(500, "Something went wrong; the log says what."));
  });
  return app;
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
  try {
    return await c.req.json();
  } catch {
    throw new HTTPException(400, { message: "The body is not JSON." });
  }
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
