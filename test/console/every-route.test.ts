// What may happen at any address of a worker, whoever adds one: all routes of all parts are walked. Mirrors server.ts.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { secret } from "../../worker/config/secret.ts";
import { createWebApp } from "../../worker/console/server.ts";
import { createMounts } from "../../worker/mounts.ts";
import { type Served, serveWorker } from "../api/served.ts";

const [TOKEN, READ_TOKEN] = ["the-token-of-the-owner", "the-token-that-only-reads"];
let served: Served;
let app: ReturnType<typeof createWebApp>;
let open: ReturnType<typeof createWebApp>;
/** Of the server itself and of every part, those that are loaded later included. */
let all: { method: string; path: string }[];

beforeAll(async () => {
  served = await serveWorker();
  const { worker } = served;
  worker.batches.start();
  const mounts = createMounts(worker);
  const shared = { state: () => worker.state(), mounts };
  app = createWebApp({ ...shared, token: secret(TOKEN), readToken: secret(READ_TOKEN) });
  open = createWebApp(shared);
  const loaded = await Promise.all(mounts.map(async ({ load }) => (await load?.())?.routes ?? []));
  all = [...app.routes, ...loaded.flat()];
});
afterAll(async () => {
  await served.worker.batches.stop();
  await served.stop();
});

const ask = (method: string, path: string, token: string, body: unknown = {}) =>
  app.request(path, {
    method,
    headers: { authorization: `Bearer ${token}`, "content-type": "application/json", accept: "*/*" },
    ...(!["GET", "HEAD"].includes(method) && { body: JSON.stringify(body) }),
  });

const CHANGING = ["POST", "PUT", "PATCH", "DELETE"];
const NAMES: Record<string, string> = { ":kind": "echo", ":name": "daily", ":key": "x" };
const filled = (path: string) =>
  path.replaceAll(/:\w+/g, (name) => NAMES[name] ?? "one").replaceAll("*", "anything");

/** Of everything that is mounted, with an example in the place of each parameter. What signs in and out is for everybody. */
const routes = () => {
  const found = all.flatMap(({ method, path }) =>
    (method === "ALL" ? ["GET", ...CHANGING] : [method]).map((one) => `${one} ${filled(path)}`),
  );
  return [...new Set(found)]
    .filter((route) => !/ \/sign-(in|out)$/.test(route))
    .map((route) => route.split(" ")) as [string, string][];
};

test("there are routes of every part, and something to change", async () => {
  await expect.poll(async () => (await ask("GET", "/v1/files", TOKEN)).status).toBe(200);
  const schedule = { name: "daily", cron: "@daily", kind: "echo", input: { text: "x" } };
  for (const [path, body] of [
    ["/schedules", schedule],
    ["/jobs", { id: "one", kind: "echo", input: { text: "x", file: "data:,y" } }],
  ] as const)
    expect((await ask("POST", path, TOKEN, body)).status).toBeLessThan(300);
  await expect
    .poll(async () => (await ask("GET", "/jobs/one", TOKEN)).json())
    .toMatchObject({ state: "succeeded" });
  const paths = routes().map(([, path]) => path);
  expect(paths).toEqual(
    expect.arrayContaining(["/mcp", "/jobs", "/v1/files", "/metrics", "/schedules", "/console/chat"]),
  );
});

test("who may only read changes nothing by any method of any route", async () => {
  const changing = routes().filter(([method, path]) => method !== "GET" && !path.startsWith("/mcp"));
  expect(changing.length).toBeGreaterThan(40);
  for (const [method, path] of changing) {
    const answer = await ask(method, path, READ_TOKEN);
    expect([method, path, answer.status, await answer.json()]).toEqual([
      ...[method, path, 403],
      { error: expect.objectContaining({ code: "read_only" }) },
    ]);
  }
});

test("nor by a tool of MCP", async () => {
  const call = async (method: string, params: object) => {
    const body = { jsonrpc: "2.0", id: 1, method, params };
    const answer = await app.request("/mcp", {
      method: "POST",
      headers: {
        authorization: `Bearer ${READ_TOKEN}`,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
      },
      body: JSON.stringify(body),
    });
    return JSON.parse((await answer.text()).replace(/^[\s\S]*?data: /, ""));
  };
  for (const name of ["start_job", "cancel_job", "echo"]) {
    const { result } = await call("tools/call", { name, arguments: { kind: "echo", id: "one", text: "x" } });
    expect(result).toMatchObject({ isError: true, structuredContent: { error: { code: "read_only" } } });
  }
});

/** All that requests can change. */
async function everything() {
  const { bucket, history } = served.worker.services;
  const get = async (path: string) => (await ask("GET", path, TOKEN)).text();
  const paths = ["/jobs", "/schedules", "/v1/files", "/v1/batches", "/dead-letters"];
  return {
    // Locks come and go with jobs.
    objects: (await bucket.list(""))
      .filter(({ key }) => !key.startsWith("running/"))
      .map(({ key, modified }) => `${key} ${modified}`)
      .toSorted(),
    states: await history.states(),
    answers: await Promise.all(paths.map(get)),
  };
}

test("no GET and no HEAD changes anything", async () => {
  const before = await everything();
  for (const [, path] of routes().filter(([method]) => method === "GET"))
    for (const method of ["GET", "HEAD"]) {
      const answer = await ask(method, `${path}?action=cancel&sure=yes&name=daily&ids=one`, TOKEN);
      await answer.body?.cancel();
      expect([path, answer.status], path).not.toEqual([path, 500]);
    }
  expect(await everything()).toEqual(before);
});

describe("JSON that is nested without end", () => {
  const deep = `${"[".repeat(100_000)}${"]".repeat(100_000)}`;
  const form = (fields: Record<string, string>) => {
    const body = new FormData();
    for (const [name, value] of Object.entries(fields)) body.set(name, value);
    return { body };
  };
  const json = (body: string) => ({ body, headers: { "content-type": "application/json" } });
  const call = {
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "echo", arguments: { text: "DEEP" } },
  };
  const ofTool = json(JSON.stringify(call).replace('"DEEP"', deep));

  test.each<[string, { body: string | FormData; headers?: Record<string, string> }]>([
    ["/jobs", json(`{"kind":"echo","input":{"text":${deep}}}`)],
    ["/schedules", json(`{"name":"deep","cron":"@daily","kind":"echo","input":{"text":${deep}}}`)],
    ["/v1/batches", json(`{"input_file_id":${deep}}`)],
    ["/console/chat", json(`{"messages":${deep}}`)],
    ["/console/schedules", form({ name: "deep", cron: "@daily", kind: "echo", input: `{"text":${deep}}` })],
    ["/console/submit/echo", form({ json: `{"text":${deep}}` })],
    ["/console/submit/prompt", form({ "input.schema": deep })],
    ["/mcp", { ...ofTool, headers: { ...ofTool.headers, accept: "application/json, text/event-stream" } }],
  ])("is refused by %s as what it is", async (path, { body, headers = {} }) => {
    const answer = await open.request(path, {
      method: "POST",
      headers: { host: "localhost", ...headers },
      body,
    });
    expect(answer.status).toBeLessThan(500);
    const text = await answer.text();
    expect(text).not.toContain("handler_failed");
    expect(text).not.toMatch(/call stack/);
  });
});

describe("a page of another site", () => {
  const SENT: Record<string, Record<string, string>> = {
    "by fetch": { origin: "http://evil.example", "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors" },
    "of another port of this machine": { origin: "http://localhost:3000", "sec-fetch-site": "same-site" },
    "by a form": {
      origin: "http://evil.example",
      "sec-fetch-site": "cross-site",
      "sec-fetch-mode": "navigate",
      "sec-fetch-dest": "document",
    },
    "in a sandbox": { origin: "null", "sec-fetch-site": "cross-site" },
    "in a browser without Sec-Fetch": { origin: "http://evil.example" },
    "in a frame": {
      "sec-fetch-site": "cross-site",
      "sec-fetch-mode": "navigate",
      "sec-fetch-dest": "iframe",
    },
    "by a picture": {
      "sec-fetch-site": "cross-site",
      "sec-fetch-mode": "no-cors",
      "sec-fetch-dest": "image",
    },
    "by an EventSource": {
      ...{ origin: "http://evil.example", accept: "text/event-stream" },
      ...{ "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty" },
    },
    "by a WebSocket": {
      ...{ origin: "http://evil.example", upgrade: "websocket", connection: "Upgrade" },
      ...{ "sec-fetch-site": "cross-site", "sec-fetch-mode": "websocket", "sec-fetch-dest": "websocket" },
    },
    "that resolved its name to this machine": { host: "evil.example:4780" },
  };

  test.each(Object.keys(SENT))("%s gets nothing of any route, and changes nothing", async (how) => {
    for (const [method, path] of routes()) {
      // A link is followed, and shows the page to its user alone.
      if (how === "by a form" && method === "GET") continue;
      // Files of the pages are for everybody.
      if (/^\/(console\/)?assets\//.test(path)) continue;
      const headers = { host: "localhost:4780", "content-type": "text/plain", ...SENT[how] };
      const body = method === "GET" ? null : "{}";
      const answer = await open.request(path, { method, headers, body });
      const text = await answer.text();
      // Of a health check everybody hears whether it lives.
      if (path === "/health" && method === "GET") expect(Object.keys(JSON.parse(text))).toEqual(["status"]);
      else expect([method, path, answer.status]).toEqual([method, path, 403]);
      expect(answer.headers.get("access-control-allow-origin")).toBeNull();
    }
  });
});

test("no answer of any route holds a token", async () => {
  for (const [, path] of routes().filter(([method, path]) => method === "GET" && path !== "/events")) {
    const answer = await ask("GET", path, TOKEN);
    const text = path === "/mcp" ? "" : await answer.text();
    for (const one of [TOKEN, READ_TOKEN]) expect([path, text.includes(one)]).toEqual([path, false]);
  }
});
