// Who may look at a worker's pages, and who may not.

import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { Hono } from "hono";
import { describe, expect, onTestFinished, test } from "vitest";
import { secret } from "../../worker/config/secret.ts";
import { createConsole } from "../../worker/console/console.ts";
import { createWebApp, startWeb } from "../../worker/console/server.ts";
import { emptyConsole } from "./fake-services.ts";
import { STATE } from "./state-sample.ts";

const TOKEN = "a-token-of-some-length";
const mounts = [{ path: "/", app: createConsole({ ...emptyConsole(), state: () => STATE }) }];
const open = createWebApp({ state: () => STATE, token: undefined, mounts });
const locked = createWebApp({ state: () => STATE, token: secret(TOKEN) });
const basic = (text: string) => `Basic ${Buffer.from(text).toString("base64")}`;

describe("without a token, on this machine", () => {
  test.each([
    "localhost:4780",
    "LOCALHOST",
    "127.0.0.1:4780",
    "127.0.0.2:4780",
    "[::1]:4780",
    "host.containers.internal:4780",
  ])("it is served to whoever asks for %s", async (host) => {
    expect((await open.request("/state", { headers: { host } })).status).toBe(200);
  });

  test.each([
    "rebind.example:4780",
    "127.0.0.1.evil.example",
    "127.evil.example",
    "127.0.0.2@evil.example",
    "evil.example#localhost",
    "other.localhost:4780",
    "",
  ])("a web page that reaches it as %j learns nothing", async (host) => {
    for (const path of ["/", "/state"]) {
      const answer = await open.request(path, { headers: { host } });
      expect([answer.status, await answer.text()]).toEqual([403, expect.not.stringContaining("amazonaws")]);
    }
  });
});

describe("in a browser", () => {
  const policyOf = async (app: typeof open, path: string, host = "localhost") => {
    const { headers } = await app.request(path, { headers: { host } });
    return [headers.get("content-security-policy"), headers.get("x-frame-options")];
  };

  test.each(["/", "/state", "/health", "/nothing"])("no other page may show %s in a frame", async (path) => {
    for (const answer of [policyOf(open, path), policyOf(open, path, "evil.example"), policyOf(locked, path)])
      expect(await answer).toEqual([expect.stringContaining("frame-ancestors 'none'"), "DENY"]);
  });

  test("the page runs and loads only what this server has as a file, and nothing that stands in the page", async () => {
    const answer = await open.request("/", { headers: { host: "localhost" } });
    const text = await answer.text();
    expect(text).not.toMatch(/<style|<script(?! type="module" src)|\son\w+=|\sstyle=/);
    const policy = answer.headers.get("content-security-policy")!.split(/; */).filter(Boolean);
    expect(policy).toContain("default-src 'none'");
    for (const rule of policy) expect(rule).not.toMatch(/unsafe|https?:|\*|nonce|sha256/);
    const style = /<link rel="stylesheet" href="([^"]+)">/.exec(text)![1]!;
    const file = await open.request(style, { headers: { host: "localhost" } });
    expect([file.status, file.headers.get("content-type")]).toEqual([200, "text/css; charset=utf-8"]);
  });

  test("other sites do not learn the addresses of pages, and this server learns where a form comes from", async () => {
    // Under `no-referrer` a browser sends `Origin: null` with our own forms.
    const { headers } = await open.request("/", { headers: { host: "localhost" } });
    expect(headers.get("referrer-policy")).toBe("same-origin");
  });

  test.each(["/", "/state", "/health", "/nothing"])("nothing of %s is kept", async (path) => {
    for (const app of [open, locked])
      expect((await app.request(path, { headers: { host: "localhost" } })).headers.get("cache-control")).toBe(
        "no-store",
      );
  });
});

describe("with a token", () => {
  test("whoever has it is served, under any host name: a script with a bearer token, a browser with a password", async () => {
    for (const authorization of [`Bearer ${TOKEN}`, basic(`:${TOKEN}`), basic(`me:${TOKEN}`)]) {
      const headers = { host: "mac.local", authorization };
      expect([authorization, (await locked.request("/state", { headers })).status]).toEqual([
        authorization,
        200,
      ]);
    }
  });

  test.each(["", "Bearer", "Bearer wrong", TOKEN, `Bearer ${TOKEN}x`, `Digest ${TOKEN}`, basic(`${TOKEN}:`)])(
    "%j is refused, on this machine too",
    async (authorization) => {
      for (const path of ["/", "/state", "/anything"]) {
        const answer = await locked.request(path, { headers: { host: "localhost", authorization } });
        expect(answer.status).toBe(401);
        expect(await answer.text()).not.toContain("amazonaws");
      }
    },
  );

  test("a health check without it learns only whether the worker is alive", async () => {
    const answer = await locked.request("/health", { headers: { host: "localhost" } });
    expect([answer.status, await answer.json()]).toEqual([200, { status: "READY" }]);
  });
});

test.each([
  "GET /state HTTP/1.1\r\nhost: localho",
  "GET /state HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n",
])("it stops even if a request never ends: %j", async (begun) => {
  const web = await startWeb({ port: 0, state: () => STATE });
  const stranger = connect(Number(new URL(web.url).port), "127.0.0.1");
  onTestFinished(() => void stranger.destroy());
  await once(stranger, "connect");
  stranger.write(begun);
  const gone = once(stranger.resume(), "close");
  // A later answer shows that the begun one has been heard.
  await (await fetch(`${web.url}/health`)).text();
  await Promise.all([web.stop(), web.stop(), gone]);
});

describe("a client that does not read", () => {
  /** An answer without end, as that of a page that changes by itself. `closed`: nobody waits for it any more. */
  function endless() {
    const closed = Promise.withResolvers<void>();
    const app = new Hono();
    app.get("/endless", () => {
      const pull = (controller: ReadableStreamDefaultController) =>
        controller.enqueue(new Uint8Array(65_536));
      return new Response(new ReadableStream({ pull, cancel: () => closed.resolve() }));
    });
    return { closed: closed.promise, mounts: [{ path: "/", app }] };
  }

  test("is hung up on, and what it had open is closed", async () => {
    const { closed, mounts } = endless();
    const web = await startWeb({ port: 0, state: () => STATE, mounts, unreadMs: 50 });
    onTestFinished(() => web.stop());
    const stranger = connect(Number(new URL(web.url).port), "127.0.0.1");
    onTestFinished(() => void stranger.destroy());
    stranger.pause().write("GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n");
    await closed;
  });

  test("is not mixed up with one that waits for an answer", async () => {
    const app = new Hono();
    app.get("/slow", async ({ text }) => {
      await new Promise((done) => setTimeout(done, 200));
      return text("done");
    });
    const web = await startWeb({ port: 0, state: () => STATE, mounts: [{ path: "/", app }], unreadMs: 20 });
    onTestFinished(() => web.stop());
    expect(await (await fetch(`${web.url}/slow`)).text()).toBe("done");
  });

  test("and asks for the head alone leaves nothing open", async () => {
    const { closed, mounts } = endless();
    const app = createWebApp({ state: () => STATE, mounts });
    const answer = await app.request("/endless", { method: "HEAD", headers: { host: "localhost" } });
    expect([answer.status, answer.body]).toEqual([200, null]);
    await closed;
  });
});

describe("what is sent", () => {
  /** A part that holds what it gets until the test ends it. */
  function holding() {
    const end = Promise.withResolvers<void>();
    const app = new Hono();
    app.post("/", async ({ req, text }) => {
      const { length } = await req.text();
      await end.promise;
      return text(String(length));
    });
    const mounts = [
      { path: "/held", app },
      { path: "/streamed", app, streamsBodies: true },
    ];
    const web = createWebApp({ state: () => STATE, mounts, bodyBytes: 100 });
    const send = (path: string, length: number) =>
      web.request(path, {
        method: "POST",
        headers: { host: "localhost", "content-length": String(length) },
        body: "x".repeat(length),
      });
    return { end: end.resolve, send };
  }

  test("takes a bounded amount of memory, all of it together", async () => {
    const { end, send } = holding();
    const held = [send("/held", 60), send("/held", 40)];
    const refused = await send("/held", 1);
    expect([refused.status, await refused.json()]).toMatchObject([503, { error: { code: "server_busy" } }]);
    const streamed = send("/streamed", 1_000);
    end();
    for (const answer of [...held, streamed]) expect((await answer).status).toBe(200);
    expect((await send("/held", 100)).status, "what was answered is not held any more").toBe(200);
    expect((await send("/held", 1_000)).status, "alone it gets in, and its part tells its limit").toBe(200);
  });
});

describe("where it listens", () => {
  test("is loopback, unless configured otherwise", async () => {
    const web = await startWeb({ port: 0, state: () => STATE });
    onTestFinished(() => web.stop());
    expect(new URL(web.url).hostname).toBe("127.0.0.1");
  });

  test.each(["0.0.0.0", "::", "192.168.1.2"])("is not %s without a token", async (host) => {
    await expect(startWeb({ port: 0, host, state: () => STATE })).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringContaining("set KAMADO_WEB_TOKEN"),
    });
  });

  test("is any address with a token, which callers under every host name need", async () => {
    const web = await startWeb({ port: 0, host: "0.0.0.0", token: secret(TOKEN), state: () => STATE });
    onTestFinished(() => web.stop());
    const statusWith = (headers: Record<string, string>) =>
      new Promise((resolve, reject) =>
        request({ port: new URL(web.url).port, path: "/state", headers }, (answer) =>
          resolve(answer.resume().statusCode),
        )
          .on("error", reject)
          .end(),
      );
    expect(await statusWith({ host: "rebind.example" })).toBe(401);
    expect(await statusWith({ host: "rebind.example", authorization: `Bearer ${TOKEN}` })).toBe(200);
  });
});
