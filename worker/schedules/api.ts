// Schedules over HTTP, below /schedules. Who may ask is decided by the server that it is mounted on.
import { type Context, Hono } from "hono";
import { KamadoError } from "../errors.ts";
import { readRequest } from "../http/bounded-body.ts";
import { errorAnswer } from "../http/error-answer.ts";
import { jsonOfBody } from "../job/json-body.ts";
import type { Schedules } from "./schedules.ts";

/** Bytes. A job's input stands in it. */
const MAX_BODY = 256 * 1024;

/**
 * `GET /`, `GET /:name`, `POST /`, `PUT /:name` for all fields, `PATCH /:name` for some, `DELETE /:name`, `POST /:name/run`. A schedule is
 * written as in the owner's file.
 */
export function createSchedulesApi(schedules: Schedules): Hono {
  const app = new Hono();
  const nameIn = (c: Context) => c.req.param("name")!;
  app.get("/", (c) => c.json({ items: schedules.list() }));
  app.post("/", async (c) => c.json(await schedules.add(await bodyOf(c)), 201));
  app.get("/:name", (c) => c.json(schedules.get(nameIn(c))));
  app.put("/:name", async (c) => c.json(await schedules.edit(nameIn(c), await bodyOf(c), { replace: true })));
  app.patch("/:name", async (c) => c.json(await schedules.edit(nameIn(c), await bodyOf(c))));
  app.delete("/:name", async (c) => {
    await schedules.remove(nameIn(c));
    return c.body(null, 204);
  });
  app.post("/:name/run", async (c) => c.json(await schedules.runNow(nameIn(c)), 202));
  app.onError((thrown) => errorAnswer(thrown));
  return app;
}

async function bodyOf({ req }: Context): Promise<object> {
  const tooLarge = () => new KamadoError("input_too_large", `A schedule has at most ${MAX_BODY} bytes.`);
  const value = jsonOfBody(await readRequest(req.raw, { maxBytes: MAX_BODY, tooLarge }));
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new KamadoError("invalid_input", "The body must be one JSON object, a schedule.");
}
