// Who may do what at the worker's address: everything, only read, or nothing. A table, over HTTP.
import { Hono } from "hono";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { checkRight } from "../../worker/access/access.ts";
import { secret } from "../../worker/config/secret.ts";
import { createWebApp, type WebOptions } from "../../worker/console/server.ts";
import { createLog } from "../../worker/logging/log.ts";
import { STATE } from "../console/state-sample.ts";
import fc from "../properties.ts";
import { AUDIENCE, OTHER_AUDIENCE, READ_AUDIENCE, startTeam, TEAM, type Team } from "./team.ts";

const TOKEN = "a-token-of-some-length";
const READ = "another-token-to-read";

let team: Team;
const assertions: Record<string, string> = {};
beforeAll(async () => {
  team = await startTeam();
  const past = Math.floor(Date.now() / 1_000) - 600;
  assertions.right = await team.assertion();
  assertions.reader = await team.assertion({ aud: [READ_AUDIENCE] });
  assertions.other = await team.assertion({ aud: [OTHER_AUDIENCE] });
  assertions.expired = await team.assertion({ exp: past });
  assertions.unknownKey = await team.assertion({ kid: "made-up" });
  const [head, claims] = assertions.right.split(".");
  assertions.forged = `${head}.${claims}.${"A".repeat(342)}`;
  await team.rotate("second");
  assertions.newKey = await team.assertion();
});
afterAll(() => team[Symbol.asyncDispose]());

const things = new Hono()
  .get("/", (context) => context.text("shown"))
  .on(["POST", "PUT", "PATCH", "DELETE"], "/", (context) => context.text("changed"));
const careful = new Hono().post("/", async (context) => {
  if ((await context.req.text()) !== "look") checkRight(context.get("visitor"), "POST");
  return context.text("done");
});

const MOUNTS = [
  { path: "/things", app: things },
  { path: "/", app: new Hono().get("/", (context) => context.text("home")) },
  { path: "/careful", app: careful, checksRights: true },
];
const tokens = { token: secret(TOKEN), readToken: secret(READ) };
const cloudflare = () => ({
  team: TEAM,
  audiences: [AUDIENCE],
  readAudiences: [READ_AUDIENCE],
  keysUrl: team.keysUrl,
});

type Config = Partial<WebOptions>;
const CONFIGS = {
  nothing: (): Config => ({}),
  tokens: (): Config => tokens,
  access: (): Config => ({ access: cloudflare() }),
  "read token alone": (): Config => ({ readToken: tokens.readToken }),
  "access and tokens": (): Config => ({ ...tokens, access: cloudflare() }),
  "access, open to the network": (): Config => ({ access: cloudflare(), host: "0.0.0.0" }),
} as const;
const appOf = (name: keyof typeof CONFIGS) =>
  createWebApp({ state: () => STATE, mounts: MOUNTS, ...CONFIGS[name]() });

type Headers = Record<string, string>;
const LOCAL = { host: "localhost:4780" };
const TUNNEL = {
  host: "kamado.example",
  "cf-ray": "8c1-NRT",
  "cf-connecting-ip": "203.0.113.9",
  "x-forwarded-for": "203.0.113.9",
};
const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const assertion = (name: string) => ({ "cf-access-jwt-assertion": assertions[name]! });

const WHO: Record<string, () => Headers> = {
  "this machine": () => LOCAL,
  "a page that rebinds its name": () => ({ host: "rebind.example:4780" }),
  "a proxy on this machine": () => ({ ...LOCAL, "x-forwarded-for": "192.168.1.9" }),
  "tailscale serve": () => ({
    host: "mac.tail1.ts.net",
    "x-forwarded-for": "100.64.0.2",
    "tailscale-user-login": "me@example.com",
  }),
  "the tunnel, with nothing": () => TUNNEL,
  "the tunnel, for the host's own name": () => ({ ...TUNNEL, ...LOCAL }),
  "the token": () => ({ ...TUNNEL, ...bearer(TOKEN) }),
  "the token here": () => ({ ...LOCAL, ...bearer(TOKEN) }),
  "the token to read": () => ({ ...TUNNEL, ...bearer(READ) }),
  "a wrong token": () => ({ ...TUNNEL, ...bearer("wrong") }),
  "the header that names the user, made up": () => ({
    ...TUNNEL,
    "cf-access-authenticated-user-email": "me@example.com",
  }),
  "an assertion": () => ({ ...TUNNEL, ...assertion("right") }),
  "an assertion of the new key": () => ({ ...TUNNEL, ...assertion("newKey") }),
  "an assertion of an application for readers": () => ({ ...TUNNEL, ...assertion("reader") }),
  "an assertion of another application": () => ({ ...TUNNEL, ...assertion("other") }),
  "an assertion that has expired": () => ({ ...TUNNEL, ...assertion("expired") }),
  "an assertion of a key nobody knows": () => ({ ...TUNNEL, ...assertion("unknownKey") }),
  "a forged assertion": () => ({ ...TUNNEL, ...assertion("forged") }),
  "an assertion in the cookie": () => ({ ...TUNNEL, cookie: `CF_Authorization=${assertions.right}` }),
  "a made-up session": () => ({ ...TUNNEL, cookie: `kamado_session=${"x".repeat(43)}` }),
};

/** a: everything. r: only read. 401 and 403: nothing. */
const TABLE: Record<keyof typeof CONFIGS, Record<string, "a" | "r" | 401 | 403>> = {
  nothing: {
    "this machine": "a",
    "a page that rebinds its name": 403,
    "a proxy on this machine": 403,
    "tailscale serve": 403,
    "the tunnel, with nothing": 403,
    "the tunnel, for the host's own name": 403,
    "the token": 403,
    "an assertion": 403,
    "a made-up session": 403,
  },
  tokens: {
    "this machine": 401,
    "a page that rebinds its name": 401,
    "tailscale serve": 401,
    "the tunnel, with nothing": 401,
    "the token": "a",
    "the token here": "a",
    "the token to read": "r",
    "a wrong token": 401,
    "an assertion": 401,
    "a made-up session": 401,
  },
  access: {
    "this machine": "a",
    "a page that rebinds its name": 401,
    "a proxy on this machine": 401,
    "tailscale serve": 401,
    "the tunnel, with nothing": 401,
    "the tunnel, for the host's own name": 401,
    "the header that names the user, made up": 401,
    "an assertion": "a",
    "an assertion of the new key": "a",
    "an assertion of an application for readers": "r",
    "an assertion of another application": 401,
    "an assertion that has expired": 401,
    "an assertion of a key nobody knows": 401,
    "a forged assertion": 401,
    "an assertion in the cookie": 401,
    "the token": 401,
  },
  "read token alone": {
    "this machine": "a",
    "the tunnel, with nothing": 401,
    "the token to read": "r",
    "a wrong token": 401,
  },
  "access and tokens": {
    "this machine": 401,
    "the token": "a",
    "the token to read": "r",
    "an assertion": "a",
    "an assertion of an application for readers": "r",
    "a forged assertion": 401,
    "the tunnel, with nothing": 401,
  },
  "access, open to the network": {
    "this machine": "a",
    "the tunnel, with nothing": 401,
    "an assertion": "a",
    "a forged assertion": 401,
  },
};

/** What Node's server gives with a request. */
const socketOf = (remoteAddress: string) => ({ incoming: { socket: { remoteAddress } } });

const statusOf = async (app: Hono, method: string, path: string, headers: Headers, body?: string) =>
  (await app.request(path, { method, headers, ...(body !== undefined && { body }) }, socketOf("127.0.0.1")))
    .status;

describe.each(Object.keys(TABLE) as (keyof typeof CONFIGS)[])("with %s", (config) => {
  test.each(Object.entries(TABLE[config]))("%s: %s", async (who, may) => {
    const app = appOf(config);
    const headers = WHO[who]!();
    const [reads, changes] = may === "a" ? [200, 200] : may === "r" ? [200, 403] : [may, may];
    for (const path of ["/", "/state", "/things"])
      expect([path, await statusOf(app, "GET", path, headers)]).toEqual([path, reads]);
    expect(await statusOf(app, "HEAD", "/things", headers)).toBe(reads);
    for (const method of ["POST", "PUT", "PATCH", "DELETE"])
      expect([method, await statusOf(app, method, "/things", headers)]).toEqual([method, changes]);
    expect(await statusOf(app, "POST", "/careful", headers, "look")).toBe(reads);
    expect(await statusOf(app, "POST", "/careful", headers, "do it")).toBe(changes);
    // A health check learns nothing else.
    const health = await app.request("/health", { headers }, socketOf("127.0.0.1"));
    expect([health.status, Object.keys((await health.json()) as object).length > 1]).toEqual([
      200,
      reads === 200,
    ]);
  });
});

test("open to the network without a token, another machine is not let in because it calls itself this one", async () => {
  const app = appOf("access, open to the network");
  for (const peer of ["192.168.1.20", "::ffff:10.0.0.1"])
    expect((await app.request("/things", { headers: LOCAL }, socketOf(peer))).status).toBe(401);
  expect((await app.request("/things", { headers: LOCAL })).status).toBe(401);
});

describe("whom a browser works for", () => {
  const CROSS = {
    origin: "https://evil.example",
    "sec-fetch-site": "cross-site",
    "sec-fetch-mode": "no-cors",
    "sec-fetch-dest": "empty",
  };

  test.each([
    ["this machine, without a login", "nothing", () => LOCAL],
    ["who came through Cloudflare Access", "access", () => ({ ...TUNNEL, ...assertion("right") })],
    [
      "whose browser keeps a password",
      "tokens",
      () => ({ ...TUNNEL, authorization: `Basic ${btoa(`:${TOKEN}`)}` }),
    ],
  ] as const)("%s changes nothing because a page of another site wants it", async (_, config, who) => {
    const app = appOf(config);
    for (const method of ["POST", "PUT", "DELETE", "GET"]) {
      const answer = await app.request("/things", { method, headers: { ...who(), ...CROSS } });
      expect([method, answer.status]).toEqual([method, 403]);
      expect(await answer.text()).not.toMatch(/shown|changed/);
    }
    // The type of a body is no defence; nor is its absence.
    const form = { ...who(), origin: "https://evil.example", "content-type": "text/plain" };
    expect(await statusOf(app, "POST", "/things", form, "{}")).toBe(403);
  });

  test("a session changes nothing because a page of another site wants it, and what our own page wants is done", async () => {
    const app = appOf("tokens");
    const own = { host: "kamado.example", origin: "https://kamado.example", "sec-fetch-site": "same-origin" };
    const answer = await app.request("/sign-in", {
      method: "POST",
      headers: own,
      body: new URLSearchParams({ token: TOKEN }),
    });
    const cookie = answer.headers.get("set-cookie")!.split(";")[0]!;
    expect(await statusOf(app, "POST", "/things", { ...own, cookie })).toBe(200);
    expect(await statusOf(app, "POST", "/things", { ...own, cookie, ...CROSS })).toBe(403);
    const readers = await app.request("/sign-in", {
      method: "POST",
      headers: own,
      body: new URLSearchParams({ token: READ }),
    });
    const reader = { ...own, cookie: readers.headers.get("set-cookie")!.split(";")[0]! };
    expect([
      await statusOf(app, "GET", "/things", reader),
      await statusOf(app, "POST", "/things", reader),
    ]).toEqual([200, 403]);
  });

  test("a program that has the token may say what it likes of its origin", async () => {
    const headers = { ...TUNNEL, ...bearer(TOKEN), origin: "app://desktop" };
    expect(await statusOf(appOf("tokens"), "POST", "/things", headers)).toBe(200);
  });
});

describe("a refusal", () => {
  const errorOf = async (app: Hono, method: string, headers: Headers) => {
    const answer = await app.request("/things", { method, headers }, socketOf("127.0.0.1"));
    const { error } = (await answer.json()) as { error: { code: string; message: string; hint: string } };
    return { status: answer.status, ...error, headers: answer.headers };
  };
  test.each([
    ["nothing", "GET", () => TUNNEL, 403, "not_local"],
    ["nothing", "POST", () => ({ ...LOCAL, origin: "http://localhost:1" }), 403, "cross_site"],
    ["tokens", "GET", () => TUNNEL, 401, "unauthorized"],
    ["tokens", "DELETE", () => ({ ...TUNNEL, ...bearer(READ) }), 403, "read_only"],
    ["access", "GET", () => ({ ...TUNNEL, ...assertion("expired") }), 401, "unauthorized"],
  ] as const)("with %s of %s has a code and says what to do", async (config, method, who, status, code) => {
    const error = await errorOf(appOf(config), method, who());
    expect(error).toMatchObject({
      status,
      code,
      message: expect.any(String),
      hint: expect.stringMatching(/\w{4}/),
    });
  });

  test("says what is wrong with an assertion, and a person sees it as a page", async () => {
    const app = appOf("access");
    const headers = { ...TUNNEL, ...assertion("expired") };
    expect(await errorOf(app, "GET", headers)).toMatchObject({ message: expect.stringContaining("expired") });
    const page = await app.request("/", { headers: { ...headers, accept: "text/html" } });
    expect([page.status, page.headers.get("content-type"), await page.text()]).toEqual([
      401,
      expect.stringContaining("text/html"),
      expect.stringContaining("expired"),
    ]);
  });

  test("of a form that somebody sent is a page too", async () => {
    const headers = { ...TUNNEL, ...bearer(READ), accept: "text/html" };
    const page = await appOf("tokens").request("/things", { method: "POST", headers });
    expect([page.status, await page.text()]).toEqual([403, expect.stringContaining("<b>read_only</b>")]);
    const out = await appOf("tokens").request("/things", {
      method: "POST",
      headers: { ...TUNNEL, accept: "text/html" },
    });
    expect([out.status, out.headers.get("location")]).toEqual([303, "/sign-in?next=%2F"]);
  });

  test("of a hundred wrong tokens of one address becomes one that says when to come back; others are not concerned", async () => {
    const app = appOf("tokens");
    for (let n = 0; n < 100; n++)
      expect((await errorOf(app, "GET", { ...TUNNEL, ...bearer("wrong") })).status).toBe(401);
    const error = await errorOf(app, "GET", { ...TUNNEL, ...bearer(TOKEN) });
    expect([error.status, error.code, error.headers.get("retry-after")]).toEqual([
      429,
      "too_many_attempts",
      "60",
    ]);
    const other = { ...TUNNEL, "cf-connecting-ip": "198.51.100.7", ...bearer(TOKEN) };
    expect(await statusOf(app, "GET", "/things", other)).toBe(200);
    // Nor does an old token in a program of this machine keep out the others here.
    for (let n = 0; n < 150; n++) await statusOf(app, "GET", "/things", { ...LOCAL, ...bearer("wrong") });
    expect(await statusOf(app, "GET", "/things", { ...LOCAL, ...bearer(TOKEN) })).toBe(200);
  });
});

test("who changes something is logged by name, who only looks is not, and no secret is", async () => {
  const lines: string[] = [];
  const log = createLog({ level: "debug", destination: { write: (line: string) => void lines.push(line) } });
  const app = createWebApp({ state: () => STATE, mounts: MOUNTS, ...tokens, access: cloudflare(), log });
  await app.request("/things?text=private", { headers: { ...TUNNEL, ...assertion("right") } });
  expect(lines).toEqual([]);
  await app.request("/things?text=private", {
    method: "DELETE",
    headers: { ...TUNNEL, ...assertion("right") },
  });
  await app.request("/things", { method: "POST", headers: { ...TUNNEL, ...bearer(TOKEN) } });
  const own = { host: "kamado.example", "cf-connecting-ip": "203.0.113.9" };
  await app.request("/sign-in", {
    method: "POST",
    headers: own,
    body: new URLSearchParams({ token: TOKEN }),
  });
  await app.request("/sign-in", {
    method: "POST",
    headers: own,
    body: new URLSearchParams({ token: "wrong" }),
  });
  expect(lines.map((line) => JSON.parse(line))).toMatchObject([
    { stage: "console", who: "me@example.com", by: "access", status: 200, msg: "DELETE /things" },
    { stage: "console", who: "token", status: 200, msg: "POST /things" },
    { stage: "console", level: "info", msg: "signed in" },
    { stage: "console", level: "warn", error: "unauthorized", msg: "refused to sign in" },
  ]);
  for (const secretText of [TOKEN, "private", assertions.right!])
    expect(lines.join()).not.toContain(secretText);
});

test("whatever headers come through a tunnel, without a right credential nothing is let in", async () => {
  const apps = [appOf("nothing"), appOf("tokens"), appOf("access"), appOf("access and tokens")];
  const value = fc.stringMatching(/^[\x21-\x7e]{0,60}$/);
  const name = fc.constantFrom(
    "host",
    "authorization",
    "cookie",
    "origin",
    "cf-access-jwt-assertion",
    "x-forwarded-for",
    "x-forwarded-host",
    "forwarded",
    "sec-fetch-site",
    "sec-fetch-mode",
    "referer",
    "x-http-method-override",
    "x-original-url",
  );
  const headers = fc.dictionary(name, value);
  await fc.assert(
    fc.asyncProperty(headers, fc.constantFrom("GET", "POST", "DELETE", "OPTIONS"), async (sent, method) => {
      for (const app of apps) {
        const answer = await app.request("/things", {
          method,
          headers: { host: "localhost", ...sent, "cf-ray": "1" },
        });
        expect([401, 403, 429]).toContain(answer.status);
      }
    }),
    { numRuns: 60 },
  );
});
