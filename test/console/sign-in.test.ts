// What somebody with a browser does to get in, and what he sees when he may not.
import { describe, expect, test } from "vitest";
import { secret } from "../../worker/config/secret.ts";
import { createWebApp } from "../../worker/console/server.ts";
import { ownPath } from "../../worker/console/sign-in.ts";
import fc from "../properties.ts";
import { STATE } from "./state-sample.ts";

const TOKEN = "a-token-of-some-length";
const READ = "another-token-to-read";
const HOST = { host: "kamado.example" };
const PAGE = { ...HOST, accept: "text/html,*/*" };

const open = () => createWebApp({ state: () => STATE, token: secret(TOKEN), readToken: secret(READ) });
type App = ReturnType<typeof open>;

const give = (
  app: App,
  token: string,
  { next = "/", headers = {} }: { next?: string; headers?: object } = {},
) =>
  app.request("/sign-in", {
    method: "POST",
    headers: { ...PAGE, origin: "https://kamado.example", "sec-fetch-site": "same-origin", ...headers },
    body: new URLSearchParams({ token, next }),
  });
const cookieOf = (answer: Response) => answer.headers.get("set-cookie") ?? "";
const signedIn = async (app: App, token: string) => ({
  ...PAGE,
  cookie: cookieOf(await give(app, token)).split(";")[0]!,
});

describe("somebody without a token", () => {
  test("is led to the page to sign in, and from there to what he wanted", async () => {
    const app = open();
    const answer = await app.request("/jobs?kind=prompt", { headers: PAGE });
    const to = answer.headers.get("location")!;
    expect([answer.status, to]).toEqual([303, "/sign-in?next=%2Fjobs%3Fkind%3Dprompt"]);
    const form = await (await app.request(to, { headers: PAGE })).text();
    expect(form).toContain('name="next" value="/jobs?kind=prompt"');
    const done = await give(app, TOKEN, { next: "/jobs?kind=prompt" });
    expect([done.status, done.headers.get("location")]).toEqual([303, "/jobs?kind=prompt"]);
  });

  test("sees nothing of the worker there", async () => {
    const text = await (await open().request("/sign-in", { headers: PAGE })).text();
    for (const known of [TOKEN, READ, STATE.queue.url, STATE.engine.url]) expect(text).not.toContain(known);
  });

  test("who follows a link of another site is asked again by our own page, because the cookie did not come along", async () => {
    const link = {
      "sec-fetch-site": "cross-site",
      "sec-fetch-mode": "navigate",
      "sec-fetch-dest": "document",
    };
    const answer = await open().request("/sign-in?next=%2Fjobs", { headers: { ...PAGE, ...link } });
    expect(await answer.text()).toContain('http-equiv="refresh" content="0; url=/sign-in?next=%2Fjobs"');
  });

  test("a part of a page that htmx wants leads there too", async () => {
    const answer = await open().request("/", { headers: { ...HOST, "hx-request": "true" } });
    expect([answer.status, answer.headers.get("hx-redirect")]).toEqual([401, "/sign-in"]);
  });
});

describe("a token that is right", () => {
  test("gives a cookie that only this server gets, that no script sees, and that does not hold the token", async () => {
    const cookie = cookieOf(await give(open(), TOKEN));
    expect(cookie).toMatch(
      /^kamado_session=[\w-]{43}; Max-Age=\d+; Path=\/; HttpOnly; Secure; SameSite=Strict$/,
    );
    expect(cookie).not.toContain(TOKEN);
    // In a home network there is no TLS, and a browser would drop a cookie that wants it.
    const headers = { host: "mac.local:4780", origin: "http://mac.local:4780" };
    expect(cookieOf(await give(open(), TOKEN, { headers }))).not.toContain("Secure");
  });

  test("lets in until he signs out", async () => {
    const app = open();
    const headers = await signedIn(app, TOKEN);
    expect((await app.request("/state", { headers })).status).toBe(200);
    expect((await app.request("/sign-in", { headers })).headers.get("location")).toBe("/");
    const out = await app.request("/sign-out", { method: "POST", headers });
    expect([out.headers.get("location"), cookieOf(out)]).toEqual([
      "/sign-in",
      expect.stringContaining("Max-Age=0"),
    ]);
    // Whoever kept a copy of the cookie has nothing.
    expect((await app.request("/state", { headers: { ...HOST, cookie: headers.cookie } })).status).toBe(401);
  });

  test("another site cannot sign him in or out", async () => {
    const app = open();
    const evil = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
    const answer = await give(app, TOKEN, { headers: evil });
    expect([answer.status, cookieOf(answer)]).toEqual([403, ""]);
    const headers = await signedIn(app, TOKEN);
    const out = await app.request("/sign-out", { method: "POST", headers: { ...headers, ...evil } });
    expect(out.status).toBe(403);
    expect((await app.request("/state", { headers })).status).toBe(200);
  });

  test("spaces around it, as they come with copying, do not matter", async () => {
    expect((await give(open(), ` ${TOKEN}\n`)).status).toBe(303);
  });
});

describe("a token that is wrong", () => {
  test("is said so, without repeating it", async () => {
    const answer = await give(open(), "<b>wrong</b>", { next: "/jobs" });
    const text = await answer.text();
    expect([answer.status, cookieOf(answer)]).toEqual([401, ""]);
    expect(text).toContain('role="alert"');
    expect(text).toContain('aria-invalid="true"');
    expect(text).toContain('name="next" value="/jobs"');
    expect(text).not.toContain("<b>wrong");
  });

  test("may be given ten times; then even the right one has to wait, and the answer says how long", async () => {
    const app = open();
    for (let n = 0; n < 10; n++) expect((await give(app, `wrong-${n}`)).status).toBe(401);
    const answer = await give(app, TOKEN);
    expect([answer.status, Number(answer.headers.get("retry-after"))]).toEqual([429, expect.any(Number)]);
    expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
    expect(await answer.text()).toContain("Try again in 5 min.");
    // Who has the token in a program is not kept out.
    const headers = { ...HOST, authorization: `Bearer ${TOKEN}` };
    expect((await app.request("/state", { headers })).status).toBe(200);
  });

  test("that is empty, or far too long, is no attempt", async () => {
    const app = open();
    for (let n = 0; n < 15; n++) expect((await give(app, "")).status).toBe(400);
    for (let n = 0; n < 15; n++) expect((await give(app, "x".repeat(20_000))).status).toBe(413);
    expect((await give(app, TOKEN)).status).toBe(303);
  });

  test.each(["multipart/form-data", "application/json", "text/plain", ""])(
    "nor is a body of %j",
    async (type) => {
      const headers = { ...PAGE, "content-type": type };
      const answer = await open().request("/sign-in", { method: "POST", headers, body: "--{" });
      expect(answer.status).toBe(400);
    },
  );
});

describe("the page", () => {
  test.each([
    ["ja", "ja"],
    ["ja-JP,en;q=0.8", "ja"],
    ["en-GB,ja;q=0.9", "en"],
    ["fr-FR,fr;q=0.9,ja;q=0.4,en;q=0.2", "ja"],
    ["en;q=0, ja;q=0.1", "ja"],
    ["fr", "en"],
    ["", "en"],
    [";;q=,", "en"],
  ])("for %j is in %s", async (header, language) => {
    const answer = await open().request("/sign-in", { headers: { ...PAGE, "accept-language": header } });
    expect(await answer.text()).toContain(`<html lang="${language}">`);
  });

  test("says its language, has a label for its field, and runs and loads nothing of elsewhere", async () => {
    const answer = await open().request("/sign-in", { headers: { ...PAGE, "accept-language": "ja" } });
    const text = await answer.text();
    expect(text).toContain('<html lang="ja">');
    expect(text).toContain('<label for="token">トークン</label>');
    expect(text).not.toMatch(/<script|style=|<style|https?:\/\//);
    expect(answer.headers.get("content-security-policy")).toContain("default-src 'none'");
  });
});

test("nobody is sent to another site, whatever address he brings", () => {
  const nasty = fc.oneof(
    fc.string(),
    fc.domain().map((name) => `https://${name}/`),
    fc.constantFrom(
      "//evil.example",
      "/\\evil.example",
      "/\t/evil.example",
      "/./\\evil.example",
      "javascript:alert(1)",
      "/..//evil.example",
      "/%5cevil",
      "\\\\evil",
    ),
    fc.string().map((text) => `/${text}`),
  );
  fc.assert(
    fc.property(nasty, (wanted) => {
      const path = ownPath(wanted);
      expect(path).toMatch(/^\/(?![/\\])/);
      expect(new URL(path, "https://kamado.example/sign-in").origin).toBe("https://kamado.example");
    }),
  );
  expect(ownPath("/jobs?text=a%20b")).toBe("/jobs?text=a%20b");
});
