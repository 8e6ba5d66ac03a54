// A part of the address that is loaded when somebody asks for it behaves as one that was there from the start.
import { Hono } from "hono";
import { expect, test } from "vitest";
import { lazyMount } from "../../worker/console/lazy-mount.ts";
import { type Mount, startWeb } from "../../worker/console/server.ts";
import { KamadoError } from "../../worker/errors.ts";
import { STATE } from "./state-sample.ts";

async function served(mounts: readonly Mount[]) {
  const web = await startWeb({ port: 0, state: () => STATE, mounts });
  return { ...web, [Symbol.asyncDispose]: () => web.stop() };
}

function part() {
  const app = new Hono();
  app.get("/who", (context) => context.json({ path: context.req.path, by: context.get("visitor").by }));
  app.post("/echo", async (context) => context.text(await context.req.text()));
  app.get("/refused", () => {
    throw new KamadoError("invalid_input", "No.");
  });
  return app;
}

test("it is loaded once, with the first request for it, and has path, visitor and body", async () => {
  let loads = 0;
  const load = async () => {
    loads++;
    return part();
  };
  await using web = await served([lazyMount("/part", load)]);
  expect((await fetch(`${web.url}/health`)).ok).toBe(true);
  expect(loads).toBe(0);
  const [one, other] = await Promise.all([1, 2].map(async () => (await fetch(`${web.url}/part/who`)).json()));
  expect(one).toEqual({ path: "/part/who", by: "local" });
  expect(other).toEqual(one);
  expect(await (await fetch(`${web.url}/part/echo`, { method: "POST", body: "text" })).text()).toBe("text");
  expect(loads).toBe(1);
});

test("what it does not have is answered by the mounts after it, and its errors by the server", async () => {
  const other = new Hono().get("/other", (context) => context.text("other"));
  await using web = await served([lazyMount("/", async () => part()), lazyMount("/", async () => other)]);
  expect(await (await fetch(`${web.url}/other`)).text()).toBe("other");
  for (const [path, code] of [
    ["/nothing", "no_such_address"],
    ["/refused", "invalid_input"],
  ] as const) {
    const response = await fetch(web.url + path);
    expect(await response.json()).toMatchObject({ error: { code } });
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'");
  }
});

test("one that could not be loaded is tried again with the next request", async () => {
  let loads = 0;
  const load = async () => {
    if (++loads === 1) throw new Error("its file is not there");
    return part();
  };
  await using web = await served([lazyMount("/part", load)]);
  expect((await fetch(`${web.url}/part/who`)).status).toBe(500);
  expect((await fetch(`${web.url}/part/who`)).status).toBe(200);
});
