// Schedules over HTTP, below /schedules. Who may ask is decided by the server that it is mounted on.
import { type Context, Hono } from "hono";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { KamadoError, toKamadoError } from "../errors.ts";
import { parseJson } from "../job/json.ts";
import { excessOf } from "../job/structure.ts";
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
  app.onError((thrown, c) => {
    const { code, message, hint, status } = toKamadoError(thrown, "handler_failed");
    return c.json({ error: { code, message, hint } }, status as ContentfulStatusCode);
  });
  return app;
}

async function bodyOf(c: Context): Promise<object> {
  const value = valueIn(await textOf(c));
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  throw new KamadoError("invalid_input", "The body must be one JSON object, a schedule.");
}

function valueIn(text: string): unknown {
  const excess = excessOf(text);
  if (excess !== null) throw new KamadoError("invalid_input", `The body ${excess}.`);
  try {
    return parseJson(text);
  } catch (cause) {
    throw new KamadoError("malformed_json", `The body is not JSON: ${(cause as Error).message}`, { cause });
  }
}

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
  throw new KamadoError("input_too_large", `A schedule has at most ${MAX_BODY} bytes.`);
}
