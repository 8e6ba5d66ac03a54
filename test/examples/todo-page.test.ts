// The page of the Todo service as a browser gets it: its languages, what it may load and run, who may ask for it, and what it is told of changes.
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { todoApp } from "../../examples/todo-service/app.ts";
import { startTodoService } from "../../examples/todo-service/service.ts";
import { TodoStore } from "../../examples/todo-service/store.ts";

let app: ReturnType<typeof todoApp>;
let stopping: AbortController;
beforeEach(() => {
  stopping = new AbortController();
  app = todoApp(new TodoStore(":memory:"), { stopping: stopping.signal });
});

const page = async (path = "/", headers: Record<string, string> = {}) => {
  const response = await app.request(path, { headers });
  return { response, html: await response.text() };
};
const call = (method: string, path: string, body?: object, headers: Record<string, string> = {}) =>
  app.request(path, {
    method,
    ...(body && { body: JSON.stringify(body) }),
    headers: { "content-type": "application/json", ...headers },
  });

describe("its language", () => {
  test.each([
    ["en", {}],
    ["ja", { "accept-language": "ja-JP,ja;q=0.9,en;q=0.8" }],
    ["en", { "accept-language": "en-GB,ja;q=0.5" }],
    ["en", { "accept-language": "fr" }],
    ["ja", { "accept-language": "fr, ja;q=0.1" }],
    ["ja", { "accept-language": "en", cookie: "lang=ja" }],
    ["en", { "accept-language": "en", cookie: "lang=xx" }],
  ])("is %s for %j", async (language, headers) => {
    const { html, response } = await page("/", headers);
    expect(html).toContain(`<html lang="${language}">`);
    expect(html).toContain(language === "ja" ? "<h1>やること</h1>" : "<h1>Todos</h1>");
    // What a browser asks for may change; only a choice is kept.
    expect(response.headers.get("set-cookie")).toBeNull();
  });

  test("can be chosen, and the choice is kept", async () => {
    const { html, response } = await page("/?lang=ja");
    expect(html).toContain('<html lang="ja">');
    expect(html).toContain('href="/?lang=en"');
    const cookie = response.headers.get("set-cookie")!;
    expect(cookie).toMatch(/^lang=ja; .*HttpOnly.*SameSite=Strict/);
    expect((await page("/", { cookie: cookie.split(";")[0]! })).html).toContain('<html lang="ja">');
  });
});

describe("what it may load and run", () => {
  test("is its own script and style, and nothing that stands in the page", async () => {
    const { html, response } = await page();
    const policy = response.headers.get("content-security-policy")!;
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self'");
    expect(policy).toContain("require-trusted-types-for 'script'");
    expect(policy).not.toContain("unsafe");
    expect(html).not.toMatch(/<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:/i);
    const addresses = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, address]) => address!);
    expect(addresses.filter((one) => !/^(\/(?!\/)|data:,$)/.test(one))).toEqual([]);
    for (const path of addresses.filter((one) => one.startsWith("/page")))
      expect((await app.request(path)).headers.get("content-type")).toMatch(/^text\/(javascript|css)/);
  });

  test("makes no HTML of any text", async () => {
    const script = await (await app.request("/page.js")).text();
    expect(script).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|DOMParser/);
  });
});

test("it has no box for sentences where no queue is known to the service", async () => {
  expect((await page()).html).not.toContain('id="say"');
});

test.each(["evil.example", "127.0.0.1.evil.example", ""])(
  "a request that calls this machine %j is refused: another page could read the list",
  async (host) => {
    for (const path of ["/", "/todos", "/changes"])
      expect((await app.request(path, { headers: { host } })).status).toBe(403);
    expect((await call("POST", "/todos", { title: "x" }, { host })).status).toBe(403);
  },
);

test.each(["localhost:4790", "127.0.0.1:4790", "[::1]:4790", "host.containers.internal:4790"])(
  "%s is this machine",
  async (host) => {
    expect((await app.request("/", { headers: { host } })).status).toBe(200);
  },
);

/** Counts what the stream says. */
async function listen() {
  const response = await app.request("/changes");
  expect(response.headers.get("content-type")).toContain("text/event-stream");
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  const next = async () => (await reader.read()).value;
  expect(await next()).toBe("event: changed\ndata: \n\n");
  return { next, reader };
}

describe("a page that listens", () => {
  test.each([
    ["a new todo", () => call("POST", "/todos", { title: "b" })],
    ["a change", () => call("PATCH", "/todos/1", { status: "done" })],
    ["a todo that is gone", () => call("DELETE", "/todos/1")],
  ])("is told of %s", async (_, act) => {
    await call("POST", "/todos", { title: "a" });
    const { next } = await listen();
    expect((await act()).ok).toBe(true);
    expect(await next()).toBe("event: changed\ndata: \n\n");
    stopping.abort();
    expect(await next()).toBeUndefined();
  });

  test("is not told of what changed nothing: reading, what is refused, a delivery that came again", async () => {
    const again = { "idempotency-key": "k" };
    await call("POST", "/todos", { title: "a" }, again);
    const { next } = await listen();
    await call("GET", "/todos");
    await call("PATCH", "/todos/9", { status: "done" });
    await call("POST", "/todos", {});
    await call("POST", "/todos", { title: "a" }, again);
    const told = next();
    stopping.abort();
    expect(await told).toBeUndefined();
  });

  test("and does not read costs nothing: a thousand changes are few events", async () => {
    const { next } = await listen();
    for (let index = 0; index < 1_000; index++) await call("POST", "/todos", { title: `t${index}` });
    stopping.abort();
    let text = "";
    for (let more = await next(); more !== undefined; more = await next()) text += more;
    expect(text.match(/event:/g)!.length).toBeLessThan(10);
  });
});

test("a service with open pages stops", async () => {
  const service = await startTodoService({ port: 0 });
  onTestFinished(() => service.stop());
  const response = await fetch(`${service.url}/changes`);
  // Otherwise the connection is kept for a while after the stream, and a stop waits for it.
  expect(response.headers.get("connection")).toBe("close");
  const reader = response.body!.getReader();
  await reader.read();
  await service.stop();
  expect((await reader.read()).done).toBe(true);
});
