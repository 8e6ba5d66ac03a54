// Pages read by their address: what robots.txt allows, at the pace of the site, through every turn that an answer can take. The sites are
// servers on the loopback address; what is read out of the bytes has tests of its own.
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { createServer } from "node:net";
import {
  brotliCompressSync,
  constants,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from "node:zlib";
import { describe, expect, onTestFinished, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { decodeText } from "../../worker/http/text-encoding.ts";
import { createOutbound } from "../../worker/outbound/outbound.ts";
import { pageOf } from "../../worker/pages/article.ts";
import { createPageReader, type PageReaderOptions } from "../../worker/pages/page-reader.ts";
import { FakeClock } from "../fakes/clock.ts";
import { ENCODED } from "../fakes/encoded-texts.ts";
import { known } from "../fakes/known.ts";
import { type Receiver, type Respond, startReceiver } from "../fakes/receiver.ts";
import fc from "../properties.ts";

type Route =
  | string
  | Uint8Array
  | { status?: number; headers?: Record<string, string>; body?: string | Uint8Array }
  | Respond;

/** A site with these pages. Without a robots.txt among them it has none. */
async function site(routes: Record<string, Route>): Promise<Receiver> {
  const receiver = await startReceiver((received, response, request) => {
    const route = routes[received.path] ?? { status: 404, body: "nothing" };
    if (typeof route === "function") return route(received, response, request);
    const {
      status = 200,
      headers = {},
      body = "",
    } = typeof route === "string" || route instanceof Uint8Array ? { body: route } : route;
    response.writeHead(status, { "content-type": "text/html", ...headers }).end(body);
  });
  onTestFinished(() => receiver.close());
  return receiver;
}

/** A reader that may reach these sites as if they were any others: with their pace, and no word of the owner about them. */
function reader(sites: readonly { url: string }[], options: Partial<PageReaderOptions> = {}) {
  const outbound = createOutbound({ destinations: sites.map(({ url }) => known(`${url}/`)) });
  onTestFinished(() => outbound.close());
  return createPageReader({
    outbound,
    gapMs: 0,
    document: async ({ bytes, contentType = null, url = null }) =>
      pageOf({ text: decodeText(bytes, contentType) ?? "", url, title: contentType }),
    ...options,
  });
}

const errorOf = (promise: Promise<unknown>): Promise<KamadoError> =>
  promise.then(
    (value) => expect.unreachable(`it gave ${JSON.stringify(value)}`),
    (error) => error,
  );
const pathsOf = ({ received }: Receiver) => received.map(({ path }) => path);
const answer = (response: ServerResponse, body: string) =>
  void response.writeHead(200, { "content-type": "text/html" }).end(body);

test("a page says where it came from, and the fragment stays with whoever asked", async () => {
  const one = await site({ "/a?b=1": "<p>Hello" });
  const page = await reader([one]).read(`  ${one.url}/a?b=1#part\n`);
  expect([page.text, page.url]).toEqual(["<p>Hello", `${one.url}/a?b=1`]);
  expect(pathsOf(one)).toEqual(["/robots.txt", "/a?b=1"]);
});

test("every request says who asks, in which language, and which packings are understood", async () => {
  const one = await site({ "/": "x" });
  await reader([one], { userAgent: "Kamado/9.9 (+https://example.org/kamado)" }).read(one.url);
  const [robots, page] = one.received.map(({ headers }) => headers);
  expect(robots).toMatchObject({ "user-agent": "Kamado/9.9 (+https://example.org/kamado)" });
  expect(page).toMatchObject({
    "user-agent": "Kamado/9.9 (+https://example.org/kamado)",
    accept: expect.stringMatching(/^text\/html,.*application\/pdf/),
    "accept-language": expect.stringMatching(/^[a-zA-Z-]+,.*\*;q=0\.5$/),
    "accept-encoding": "gzip, deflate, br, zstd",
  });
});

test("several who ask for a page at the same time get one answer, and whoever comes later a new one", async () => {
  const { promise: may, resolve: go } = Promise.withResolvers<void>();
  const one = await site({ "/": (_, response) => void may.then(() => answer(response, "x")) });
  const { read } = reader([one]);
  const all = [read(`${one.url}/`), read(`${one.url}/#a`), read(one.url)];
  await expect.poll(() => pathsOf(one)).toEqual(["/robots.txt", "/"]);
  go();
  expect((await Promise.all(all)).map(({ text }) => text)).toEqual(["x", "x", "x"]);
  await read(one.url);
  expect(pathsOf(one)).toEqual(["/robots.txt", "/", "/"]);
});

test("one who gives up ends only the own waiting, and the last one the request", async () => {
  const closed = Promise.withResolvers<void>();
  const one = await site({ "/": (_, response) => void response.on("close", closed.resolve) });
  const { read } = reader([one]);
  const [first, second] = [new AbortController(), new AbortController()];
  const asked = [first, second].map(({ signal }) => errorOf(read(one.url, { signal })));
  await expect.poll(() => pathsOf(one)).toContain("/");
  first.abort(new KamadoError("canceled", "Canceled."));
  expect((await asked[0]!).code).toBe("canceled");
  expect(await Promise.race([closed.promise.then(() => "closed"), "open"])).toBe("open");
  second.abort(new KamadoError("timed_out", "Over."));
  expect((await asked[1]!).code).toBe("timed_out");
  await closed.promise;
});

describe("robots.txt", () => {
  const ROBOTS = "User-agent: *\nDisallow: /private\nAllow: /private/open\n";

  test("is asked once for many pages, and refuses what it disallows", async () => {
    const one = await site({ "/robots.txt": ROBOTS, "/": "x", "/private/open": "y" });
    const { read } = reader([one]);
    expect((await errorOf(read(`${one.url}/private/a`))).code).toBe("robots_refused");
    expect((await read(`${one.url}/private/open`)).text).toBe("y");
    expect((await read(one.url)).text).toBe("x");
    expect(pathsOf(one)).toEqual(["/robots.txt", "/private/open", "/"]);
  });

  test("that names Kamado counts in place of what it says to all, by whatever name the owner gave it", async () => {
    const robots = `${ROBOTS}\nUser-agent: Kamado/1.0\nUser-agent: Other\nDisallow: /mine\n\nuser-agent: mybot\nDisallow: /bot`;
    const one = await site({ "/robots.txt": robots, "/private": "x", "/bot": "bot" });
    const { read } = reader([one]);
    expect((await read(`${one.url}/private`)).text).toBe("x");
    expect((await read(`${one.url}/bot`)).text).toBe("bot");
    expect((await errorOf(read(`${one.url}/mine`))).code).toBe("robots_refused");
    const other = reader([one], { userAgent: "MyBot/2 (mail@example.org)" });
    expect((await errorOf(other.read(`${one.url}/bot`))).code).toBe("robots_refused");
    expect((await errorOf(other.read(`${one.url}/mine`))).code).toBe("robots_refused");
  });

  test.each([404, 401, 403, 410])("that is answered with %i allows everything", async (status) => {
    const one = await site({ "/robots.txt": { status, body: "User-agent: *\nDisallow: /" }, "/": "x" });
    expect((await reader([one]).read(one.url)).text).toBe("x");
  });

  test.each([500, 503, 429])(
    "that is answered with %i allows nothing for now, and is asked again later",
    async (status) => {
      const routes: Record<string, Route> = { "/robots.txt": { status }, "/": "x" };
      const one = await site(routes);
      const clock = new FakeClock();
      const { read } = reader([one], { clock });
      const error = await errorOf(read(one.url));
      expect(error).toMatchObject({ code: "fetch_failed", retry: true, detail: { httpStatus: status } });
      expect(error.message).toContain(`answers ${status} for its robots.txt`);
      routes["/robots.txt"] = "";
      expect((await errorOf(read(one.url))).code).toBe("fetch_failed");
      expect(pathsOf(one)).toEqual(["/robots.txt"]);
      await clock.advance(60_000);
      expect((await read(one.url)).text).toBe("x");
    },
  );

  test("that does not come in time allows nothing for now", async () => {
    const one = await site({ "/robots.txt": () => {}, "/": "x" });
    const error = await errorOf(reader([one], { timeoutMs: 50 }).read(one.url));
    expect(error).toMatchObject({ code: "fetch_failed", retry: true });
    expect(pathsOf(one)).toEqual(["/robots.txt"]);
  });

  test("is looked for where it redirects to, and counts for the site that redirected", async () => {
    const two = await site({ "/rules": "User-agent: *\nDisallow: /no" });
    const one = await site({
      "/robots.txt": { status: 301, headers: { location: `${two.url}/rules` } },
      "/yes": "x",
      "/loop": "x",
    });
    const { read } = reader([one, two]);
    expect((await read(`${one.url}/yes`)).text).toBe("x");
    expect((await errorOf(read(`${one.url}/no`))).code).toBe("robots_refused");
  });

  test("that redirects for ever is none", async () => {
    const one = await site({
      "/robots.txt": { status: 302, headers: { location: "/robots.txt" } },
      "/": "x",
    });
    expect((await reader([one]).read(one.url)).text).toBe("x");
  });

  test("is asked again after some hours", async () => {
    const routes: Record<string, Route> = { "/robots.txt": "", "/": "x" };
    const one = await site(routes);
    const clock = new FakeClock();
    const { read } = reader([one], { clock });
    await read(one.url);
    routes["/robots.txt"] = "User-agent: *\nDisallow: /";
    await clock.advance(4 * 3_600_000 - 1);
    await read(one.url);
    await clock.advance(1);
    expect((await errorOf(read(one.url))).code).toBe("robots_refused");
  });

  test("counts up to 500,000 bytes", async () => {
    const filler = `# ${"x".repeat(96)}\n`;
    const robots = (lines: number) =>
      `${filler.repeat(lines)}User-agent: *\nDisallow: /\n${filler.repeat(9_000)}`;
    const within = await site({ "/robots.txt": robots(4_000) });
    const beyond = await site({ "/robots.txt": robots(6_000), "/": "x" });
    const { read } = reader([within, beyond]);
    expect((await errorOf(read(within.url))).code).toBe("robots_refused");
    expect((await read(beyond.url)).text).toBe("x");
  });

  test("does not count for a site of the owner's that the destinations file exempts, and is not asked", async () => {
    const own = await site({ "/robots.txt": "User-agent: *\nDisallow: /", "/": "x", "/a": "y" });
    const other = await site({ "/": { status: 302, headers: { location: `${own.url}/a` } } });
    const destinations = [known(`${own.url}/`, { ignoreRobots: true })];
    const { read } = reader([own, other], { destinations });
    expect((await read(own.url)).text).toBe("x");
    expect(pathsOf(own)).toEqual(["/"]);
    expect((await errorOf(read(other.url))).code).toBe("robots_refused");
  });

  test("of every page on the way has to allow it", async () => {
    const two = await site({ "/robots.txt": "User-agent: kamado\nDisallow: /", "/b": "x" });
    const one = await site({ "/a": { status: 302, headers: { location: `${two.url}/b` } } });
    expect((await errorOf(reader([one, two]).read(`${one.url}/a`))).code).toBe("robots_refused");
    expect(pathsOf(two)).toEqual(["/robots.txt"]);
  });
});

describe("the pace", () => {
  /** Requests are answered when the test says so. */
  async function slowSite(robots: string) {
    const waiting: (() => void)[] = [];
    const one = await site({
      "/robots.txt": robots,
      ...Object.fromEntries(
        ["/1", "/2", "/3"].map((path) => [
          path,
          (_: unknown, response: ServerResponse) => void waiting.push(() => answer(response, path)),
        ]),
      ),
    });
    return { one, waiting, pages: () => pathsOf(one).filter((path) => path !== "/robots.txt") };
  }

  test("is one request at a time and a pause between two for a host, and several hosts at once", async () => {
    const [a, b] = [await slowSite(""), await slowSite("")];
    const clock = new FakeClock();
    const { read } = reader([a.one, b.one], { clock, gapMs: 1_000 });
    const all = [a, b].flatMap(({ one }) => ["/1", "/2"].map((path) => read(one.url + path)));
    // The robots.txt of a host was a request too.
    await expect
      .poll(() => clock.advance(1_000).then(() => [...a.pages(), ...b.pages()]))
      .toEqual(["/1", "/1"]);
    await clock.advance(60_000);
    expect([a.pages(), b.pages()]).toEqual([["/1"], ["/1"]]);
    a.waiting.shift()!();
    await all[0];
    await clock.advance(999);
    expect(a.pages()).toEqual(["/1"]);
    await clock.advance(1);
    await expect.poll(() => a.pages()).toEqual(["/1", "/2"]);
    expect(b.pages()).toEqual(["/1"]);
    b.waiting.shift()!();
    await all[2];
    await clock.advance(1_000);
    await expect.poll(() => b.waiting.length).toBe(1);
    for (const { waiting } of [a, b]) waiting.shift()!();
    expect((await Promise.all(all)).map(({ text }) => text)).toEqual(["/1", "/2", "/1", "/2"]);
  });

  test.each([
    ["5", 5_000],
    ["86400", 30_000],
    ["soon", 1_000],
  ])("is slower where robots.txt asks for a Crawl-delay of %s, within reason", async (delay, gapMs) => {
    const a = await slowSite(`User-agent: *\nCrawl-delay: ${delay}\n`);
    const clock = new FakeClock();
    const { read } = reader([a.one], { clock, gapMs: 1_000 });
    const all = ["/1", "/2"].map((path) => read(a.one.url + path));
    await expect.poll(() => clock.advance(1_000).then(a.pages)).toEqual(["/1"]);
    a.waiting.shift()!();
    await all[0];
    await clock.advance(gapMs - 1);
    expect(a.pages()).toEqual(["/1"]);
    await clock.advance(1);
    await expect.poll(() => a.waiting.length).toBe(1);
    a.waiting.shift()!();
    await all[1];
  });

  test("of one who gave up is nobody's", async () => {
    const a = await slowSite("");
    const clock = new FakeClock();
    const { read } = reader([a.one], { clock, gapMs: 1_000 });
    const gone = new AbortController();
    const first = read(`${a.one.url}/1`);
    await expect.poll(() => clock.advance(1_000).then(a.pages)).toEqual(["/1"]);
    const second = errorOf(read(`${a.one.url}/2`, { signal: gone.signal }));
    const third = read(`${a.one.url}/3`);
    gone.abort(new KamadoError("canceled", "Canceled."));
    await second;
    a.waiting.shift()!();
    await first;
    await clock.advance(1_000);
    await expect.poll(() => a.pages()).toEqual(["/1", "/3"]);
    a.waiting.shift()!();
    await third;
  });

  test("in the owner's own network is that of the destinations file", async () => {
    const a = await slowSite("");
    const { read } = reader([a.one], { gapMs: 1_000_000, destinations: [known(`${a.one.url}/`)] });
    const all = ["/1", "/2", "/3"].map((path) => read(a.one.url + path));
    await expect.poll(() => a.waiting.length).toBe(3);
    for (const go of a.waiting) go();
    await Promise.all(all);
  });
});

describe("a host that asks for a pause", () => {
  /** A site that answers with these statuses, one after another, and then with a page. */
  async function busySite(...statuses: [status: number, retryAfter: string | undefined][]) {
    const one = await site({
      "/": (_, response) => {
        const [status, retryAfter] = statuses.shift() ?? [200, undefined];
        response.writeHead(status, {
          "content-type": "text/html",
          ...(retryAfter && { "retry-after": retryAfter }),
        });
        response.end(`${status}`);
      },
    });
    return { one, asked: () => pathsOf(one).filter((path) => path === "/").length };
  }

  test.each([
    [429, "7", 7_000],
    [503, "7", 7_000],
    [503, "Thu, 01 Jan 2026 00:00:07 GMT", 7_000],
    [429, undefined, 5_000],
  ])("with %i and Retry-After %s gets it, and is asked again", async (status, retryAfter, pauseMs) => {
    const { one, asked } = await busySite([status, retryAfter]);
    const clock = new FakeClock();
    const page = reader([one], { clock }).read(one.url);
    await expect.poll(asked).toBe(1);
    await clock.advance(pauseMs - 1);
    expect(asked()).toBe(1);
    await expect.poll(() => clock.advance(1).then(asked)).toBe(2);
    expect((await page).text).toBe("200");
  });

  test.each([
    ["longer than anybody waits", "3600", undefined],
    ["longer than the job has left", "20", () => 30_000],
  ])("that is %s is an error that says when to come back", async (_, retryAfter, timeLeftMs) => {
    const { one, asked } = await busySite([503, retryAfter], [503, retryAfter]);
    const { read } = reader([one]);
    const error = await errorOf(read(one.url, { timeLeftMs }));
    expect(error).toMatchObject({
      code: "fetch_failed",
      detail: { httpStatus: 503, retryAfterMs: Number(retryAfter) * 1_000 },
    });
    expect(asked()).toBe(1);
    // Nor do others ask it meanwhile.
    expect((await errorOf(read(`${one.url}/other`, { timeLeftMs }))).message).toContain("left alone");
    expect(pathsOf(one)).not.toContain("/other");
  });

  test("again and again is an error", async () => {
    const { one, asked } = await busySite(...Array.from({ length: 9 }, (): [number, string] => [429, "0"]));
    expect((await errorOf(reader([one]).read(one.url))).detail?.httpStatus).toBe(429);
    expect(asked()).toBe(3);
  });
});

describe("where an answer leads", () => {
  const to = (location: string, status = 302): Route => ({ status, headers: { location } });

  test("redirects are followed, up to ten", async () => {
    const chain = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`/${n}`, to(`/${n + 1}`)]));
    const one = await site({ ...chain, "/10": "end", "/moved": to("/10", 308) });
    const { read } = reader([one]);
    expect(await read(`${one.url}/0`)).toMatchObject({ text: "end", url: `${one.url}/10` });
    expect((await read(`${one.url}/moved`)).text).toBe("end");
    const endless = await site({ ...chain, "/10": to("/11"), "/11": to("/12") });
    expect((await errorOf(reader([endless]).read(`${endless.url}/0`))).code).toBe("fetch_rejected");
  });

  test("a circle is known when it closes", async () => {
    const one = await site({ "/": to("/a"), "/a": to("/") });
    const error = await errorOf(reader([one]).read(one.url));
    expect([error.code, error.message]).toEqual(["fetch_rejected", expect.stringContaining("cookies")]);
    expect(pathsOf(one)).toEqual(["/robots.txt", "/", "/a"]);
  });

  test("an address that somebody else has named is not in the owner's network, unless the owner lists who named it", async () => {
    const [home, search] = [await site({ "/": "secret" }), await site({})];
    const read = (sites: { url: string }[]) =>
      reader(sites).read(home.url, { ledBy: `${search.url}/search?q=x` });
    expect((await errorOf(read([home]))).code).toBe("address_refused");
    expect(home.received).toEqual([]);
    expect((await read([home, search])).text).toBe("secret");
  });

  test("from elsewhere into the owner's network leads nowhere", async () => {
    const home = await site({ "/": "secret" });
    const destinations = [known(home.url)];
    const outbound = createOutbound({ destinations });
    onTestFinished(() => outbound.close());
    const redirected = { status: 302, headers: { location: home.url }, bytes: Buffer.from("") };
    const { read } = createPageReader({
      destinations,
      gapMs: 0,
      document: async () => pageOf({ text: "" }),
      outbound: {
        async send(request) {
          const { hostname, pathname } = new URL(request.url);
          if (hostname !== "stranger.example") return outbound.send(request);
          return { ...redirected, url: request.url, ...(pathname === "/robots.txt" && { status: 404 }) };
        },
      },
    });
    expect((await errorOf(read("https://stranger.example/"))).code).toBe("address_refused");
    expect(home.received).toEqual([]);
    await read(home.url);
    expect(pathsOf(home)).toEqual(["/robots.txt", "/"]);
    // What is known of its robots.txt by now changes nothing.
    expect((await errorOf(read("https://stranger.example/"))).code).toBe("address_refused");
    expect(home.received).toHaveLength(2);
  });

  test.each([
    ["at once", '<html><head><meta http-equiv="refresh" content="0; url=/new">', "new"],
    ["in other spellings", "<META content='3;URL=\"/new?a=1&amp;b=2\"' HTTP-EQUIV=Refresh>", "query"],
    ["but not after a long time", '<meta http-equiv="refresh" content="300; url=/new">', "old"],
    ["but not to itself", '<meta http-equiv="refresh" content="0; url=/">', "old"],
    [
      "but not for readers without scripts",
      '<noscript><meta http-equiv="refresh" content="0;url=/new"></noscript>',
      "old",
    ],
    ["but not out of a comment", '<!-- <meta http-equiv="refresh" content="0;url=/new"> -->', "old"],
    ["but not to a script", '<meta http-equiv="refresh" content="0;url=javascript:alert(1)">', "old"],
  ])("a page that sends its reader elsewhere is followed %s", async (_, html, expected) => {
    const one = await site({ "/": html, "/new": "new", "/new?a=1&b=2": "query" });
    const { text } = await reader([one]).read(one.url);
    expect(text === html ? "old" : text).toBe(expected);
  });

  test("a page that sends its reader elsewhere in a header is followed too", async () => {
    const one = await site({ "/": { headers: { refresh: "1; url=new" } }, "/new": "new" });
    expect((await reader([one]).read(one.url)).text).toBe("new");
  });

  test("a page of http:// is asked for with https://, unless the owner has listed it", async () => {
    const asked: string[] = [];
    const { read } = createPageReader({
      destinations: [known("http://lamp.home/")],
      document: async () => pageOf({ text: "x" }),
      outbound: {
        async send({ url }) {
          asked.push(url);
          return {
            status: url.endsWith("robots.txt") ? 404 : 200,
            headers: {},
            bytes: Buffer.from("x"),
            url,
          };
        },
      },
    });
    for (const url of ["http://example.org/a", "http://lamp.home/b", "http://bücher.example/ü"])
      await read(url);
    expect(asked.filter((url) => !url.endsWith("robots.txt"))).toEqual([
      "https://example.org/a",
      "http://lamp.home/b",
      "https://xn--bcher-kva.example/%C3%BC",
    ]);
  });
});

describe("what comes", () => {
  const TEXT = "<p>Grüße aus 東京".repeat(50);

  test.each([
    ["gzip", gzipSync],
    ["deflate", deflateSync],
    ["deflate", deflateRawSync],
    ["br", brotliCompressSync],
    ["zstd", zstdCompressSync],
  ])("packed with %s is unpacked", async (encoding, pack) => {
    const one = await site({ "/": { headers: { "content-encoding": encoding }, body: pack(TEXT) } });
    expect((await reader([one]).read(one.url)).text).toBe(TEXT);
  });

  test.each([
    ["gzip", gzipSync],
    ["br", (bytes: Buffer) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } })],
    ["zstd", zstdCompressSync],
  ])("packed with %s and huge is too large, and not kept", async (encoding, pack) => {
    const bomb = pack(Buffer.alloc(11 * 1024 * 1024));
    const one = await site({ "/": { headers: { "content-encoding": encoding }, body: bomb } });
    expect((await errorOf(reader([one]).read(one.url))).code).toBe("input_too_large");
  });

  test("beyond 10 MB is too large, whether it is announced or not", async () => {
    const bytes = Buffer.alloc(10 * 1024 * 1024 + 1, 97);
    const one = await site({
      "/announced": bytes,
      "/not": (_, response) => void response.writeHead(200).write(bytes, () => response.end()),
      "/fits": bytes.subarray(1),
    });
    const { read } = reader([one]);
    for (const path of ["/announced", "/not"])
      expect((await errorOf(read(one.url + path))).code).toBe("input_too_large");
    expect((await read(`${one.url}/fits`)).text).toHaveLength(10 * 1024 * 1024);
  });

  test("keeps the type that the server names, which says the character set", async () => {
    const [text, label, bytes] = ENCODED[0]!;
    const one = await site({
      "/": { headers: { "content-type": `text/plain; charset=${label}` }, body: bytes },
    });
    expect(await reader([one]).read(one.url)).toMatchObject({ text, title: `text/plain; charset=${label}` });
  });

  test.each([
    [404, "fetch_rejected"],
    [410, "fetch_rejected"],
    [500, "fetch_failed"],
    [503, "fetch_failed"],
    [304, "fetch_rejected"],
  ])("with status %i is %s", async (status, code) => {
    const one = await site({ "/": { status, body: status === 304 ? "" : "<p>Sorry" } });
    const error = await errorOf(reader([one]).read(one.url));
    expect(error).toMatchObject({ code, detail: { httpStatus: status } });
    expect(error.message).not.toContain("/");
  });

  test.each([402, 403])("with status %i and a page that says why is that page", async (status) => {
    const one = await site({ "/": { status, body: "<p>Subscribe" } });
    const document: PageReaderOptions["document"] = async () =>
      pageOf({ text: "Subscribe", obstacle: "paywall" });
    expect((await reader([one], { document }).read(one.url)).obstacle).toBe("paywall");
    const plain = reader([one], { document: async () => pageOf({ text: "Sorry" }) });
    expect((await errorOf(plain.read(one.url))).code).toBe("fetch_rejected");
  });

  test("from a site that checks for a browser says so", async () => {
    const challenge = { status: 403, headers: { "cf-mitigated": "challenge" }, body: "Just a moment" };
    const one = await site({ "/": challenge });
    expect((await reader([one]).read(one.url)).obstacle).toBe("javascript");
  });

  test("too late is an error that may pass", async () => {
    const one = await site({
      "/silent": () => {},
      "/begun": (_, response) => void response.writeHead(200).write("<p>"),
    });
    const { read } = reader([one], { timeoutMs: 100 });
    for (const path of ["/silent", "/begun"])
      expect(await errorOf(read(one.url + path))).toMatchObject({ code: "fetch_failed", retry: true });
  });

  test("from a connection that breaks is asked for again, and then an error", async () => {
    const connections: number[] = [];
    const server = createServer((socket) => {
      socket.on("error", () => {});
      socket.on("data", (data) => {
        if (data.includes("/robots.txt"))
          return void socket.end("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n");
        connections.push(1);
        const isLast = data.includes("/once") && connections.length > 1;
        const body = isLast ? "whole" : "ha";
        socket.write(`HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n${body}`, () => socket.destroy());
      });
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
    const { read } = reader([{ url }]);
    expect((await read(`${url}/once`)).text).toBe("whole");
    connections.length = 0;
    expect(await errorOf(read(`${url}/never`))).toMatchObject({ code: "fetch_failed", retry: true });
    expect(connections).toHaveLength(3);
  });
});

test("any address is read or refused with a code", async () => {
  const { read } = createPageReader({
    gapMs: 0,
    document: async () => pageOf({ text: "x" }),
    outbound: {
      async send({ url }) {
        // What the safe client gets is an address in every case.
        return {
          status: 200,
          headers: { "content-type": "text/html" },
          bytes: Buffer.from("x"),
          url: new URL(url).href,
        };
      },
    },
  });
  const address = fc.oneof(
    fc.webUrl({ withFragments: true, withQueryParameters: true }),
    fc
      .tuple(
        fc.constantFrom("https://", "http:", "https:\\\\", "//", "javascript:"),
        fc.string({ unit: "binary" }),
      )
      .map((parts) => parts.join("")),
  );
  await fc.assert(
    fc.asyncProperty(address, async (url) => {
      const given = await read(url).catch((error) => error);
      expect(given instanceof KamadoError || given.text === "x").toBe(true);
    }),
  );
});

test.each([
  ["no address", "what is this", "unsupported_address"],
  ["another scheme", "ftp://example.org/", "unsupported_address"],
  ["a file", "file:///etc/passwd", "unsupported_address"],
  ["the home network", "https://192.168.1.1/", "address_refused"],
  ["a password", "https://user:pass@example.org/", "address_refused"],
])("%s is refused", async (_, url, code) => {
  expect((await errorOf(reader([]).read(url))).code).toBe(code);
});
