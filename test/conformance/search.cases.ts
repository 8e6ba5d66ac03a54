// What every search service promises a job, whatever form its answers have. One suite for all adapters.
import { inspect } from "node:util";
import { expect } from "vitest";
import type { KamadoError } from "../../worker/errors.ts";
import { json, type Result, type Served } from "../search/services.ts";
import type { Promises } from "./suite.ts";

const FAIR: Result = {
  url: "https://example.org/fair",
  title: "The town fair",
  snippet: "400 visitors came.",
  published: "2024-03-05T10:30:00",
};
const BRIDGE: Result = { url: "http://example.com/b?id=1&x=2", title: "A bridge", snippet: "It was opened." };

const thrownBy = (work: Promise<unknown>): Promise<KamadoError> =>
  work.then(
    (value) => {
      throw new Error(`it did not fail: ${JSON.stringify(value)}`);
    },
    (thrown) => thrown,
  );

/** In whatever way it is shown. */
const shown = (error: unknown) =>
  `${inspect(error, { depth: 9 })}${JSON.stringify(error)}${(error as Error).stack}`;

function expectNoKey({ service: { key } }: Served, text: string): void {
  if (key === undefined) return;
  expect(text).not.toContain(key);
  expect(text).not.toContain(encodeURIComponent(key));
}

export const searchCases = {
  async "what is found comes back in its order, with the words and the date of each"(served) {
    const { answer, service, search } = served;
    answer((_, response) => json(response, 200, service.results([FAIR, BRIDGE])));
    expect(await search.web("town fair", { count: 2 })).toEqual([
      {
        url: "https://example.org/fair",
        title: "The town fair",
        snippet: "400 visitors came.",
        published: "2024-03-05T10:30:00",
      },
      {
        url: "http://example.com/b?id=1&x=2",
        title: "A bridge",
        snippet: "It was opened.",
        published: null,
      },
    ]);
    expect(search.provider).toBe(service.name);
  },

  async "the query, the number and the key reach the service, and nothing else of the owner"(served) {
    const { answer, service, search, searches } = served;
    answer((_, response) => json(response, 200, service.results([FAIR, BRIDGE, BRIDGE])));
    await search.web("  town\n fair & \u0000visitors + 100%  ", { count: 1, language: "de-DE" });
    const [received] = searches;
    const asked = service.asked(received!);
    expect(asked.query).toBe("town fair & visitors + 100%");
    expect(asked.key).toBe(service.key);
    expect(String(asked.language)).toMatch(/^(de|de-DE|germany)$/);
    if (asked.count !== undefined) expect(Number(asked.count)).toBe(1);
    expect(Object.keys(received!.headers).filter((name) => /cookie|referer|from/.test(name))).toEqual([]);
  },

  async "Japanese comes and goes as it is"({ answer, service, search, searches }) {
    const hit = { url: "https://例え.jp/傘", title: "傘の修理", snippet: "一年に五百本を直す。" };
    answer((_, response) => json(response, 200, service.results([hit])));
    const found = await search.web("傘 修理", { language: "ja-JP", count: 1 });
    expect(found).toEqual([
      {
        url: "https://xn--r8jz45g.jp/%E5%82%98",
        title: "傘の修理",
        snippet: "一年に五百本を直す。",
        published: null,
      },
    ]);
    const asked = service.asked(searches[0]!);
    expect(asked.query).toBe("傘 修理");
    expect(String(asked.language)).toMatch(/^(ja|ja-JP|jp|japan)$/);
  },

  async "nothing found is an empty list, and no error"({ answer, service, search }) {
    answer((_, response) => json(response, 200, service.nothing));
    expect(await search.web("zxqv")).toEqual([]);
  },

  async "addresses that nobody can read, adverts and what was there already are left out"({
    answer,
    service,
    search,
  }) {
    const bad = [
      "/relative",
      "javascript:alert(1)",
      "ftp://example.org/a",
      "https://user:word@example.org/",
      "",
      null,
      7,
      "https://www.googleadservices.com/pagead/aclk?x=1",
      "https://www.bing.com/aclick?ld=1",
      "https://duckduckgo.com/y.js?ad_domain=example.org",
      "https://example.org/fair#visitors",
    ].map((url) => ({ ...BRIDGE, url }));
    answer((_, response) => json(response, 200, service.results([FAIR, ...bad, BRIDGE])));
    expect((await search.web("fair", { count: 20 })).map(({ url }) => url)).toEqual([
      "https://example.org/fair",
      "http://example.com/b?id=1&x=2",
    ]);
  },

  async "marks and entities are taken out of titles and snippets, and what is missing is tolerated"({
    answer,
    service,
    search,
  }) {
    const marked = {
      url: "https://example.org/1",
      title: "<strong>Fair</strong> &amp; caf&eacute; &#8212; List&lt;string&gt;",
      snippet: "a < b,<br>List<string> &quot;<em>x</em>&quot;\n\n  &nbsp; y",
    };
    const bare = { url: "https://example.org/2", title: null, snippet: undefined, published: "" };
    answer((_, response) => json(response, 200, service.results([marked, bare])));
    expect(await search.web("fair", { count: 2 })).toEqual([
      {
        url: "https://example.org/1",
        title: "Fair & café — List<string>",
        snippet: 'a < b, List<string> "x" y',
        published: null,
      },
      { url: "https://example.org/2", title: "example.org", snippet: "", published: null },
    ]);
  },

  async "no more come back than were asked for, and 20 at most"({ answer, service, search }) {
    const many = Array.from({ length: 30 }, (_, nth) => ({ ...FAIR, url: `https://example.org/${nth}` }));
    answer((_, response) => json(response, 200, service.results(many)));
    expect(await search.web("fair", { count: 3 })).toHaveLength(3);
    expect(await search.web("fair", { count: 500 })).toHaveLength(20);
    expect(await search.web("fair")).toHaveLength(10);
    expect(await search.web("fair", { count: 0 })).toHaveLength(1);
  },

  async "a key or a right that it refuses fails for good, says what to do, and is asked once"(served) {
    const { answer, service, search, searches } = served;
    const [status, body] = service.refusesKey;
    answer((_, response) => json(response, status, body));
    const error = await thrownBy(search.web("fair"));
    expect(error).toMatchObject({ code: "search_rejected", retry: false });
    expect(error.message).toContain(service.title);
    expect(`${error.message} ${error.hint}`).toMatch(/KAMADO_SEARCH_KEY|formats/);
    expect(searches).toHaveLength(1);
    expectNoKey(served, shown(error));
  },

  async "a 429 costs as long a wait as Retry-After asks for, and not the search"({
    answer,
    service,
    search,
    searches,
    clock,
  }) {
    answer(
      (_, response) => json(response, 429, service.busy, { "retry-after": "7" }),
      (_, response) => json(response, 200, service.results([FAIR])),
    );
    const told: number[] = [];
    expect(await search.web("fair", { count: 1, onWait: (ms) => void told.push(ms) })).toHaveLength(1);
    expect(clock.slept).toEqual([7_000]);
    expect(told).toEqual([7_000]);
    expect(searches).toHaveLength(2);
  },

  async "a 429 that says nothing is waited out too"({ answer, service, search, clock }) {
    answer(
      (_, response) => json(response, 429, service.busy),
      (_, response) => json(response, 429, service.busy),
      (_, response) => json(response, 200, service.results([FAIR])),
    );
    expect(await search.web("fair", { count: 1 })).toHaveLength(1);
    expect(clock.slept).toHaveLength(2);
    expect(Math.min(...clock.slept)).toBeGreaterThanOrEqual(5_000);
  },

  async "other searches wait with the one that was told to"({ answer, service, search, searches, clock }) {
    answer(
      (_, response) => json(response, 429, service.busy, { "retry-after": "30" }),
      (_, response) => json(response, 200, service.results([FAIR])),
    );
    await search.web("first", { count: 1 });
    const asked = searches.length;
    await search.web("second", { count: 1 });
    expect(searches.length - asked).toBe(1);
    expect(clock.now()).toBe(30_000);
  },

  async "a 429 without end fails after a bounded time, as what may pass"({ answer, service, search, clock }) {
    answer((_, response) => json(response, 429, service.busy, { "retry-after": "50" }));
    const error = await thrownBy(search.web("fair"));
    expect(error).toMatchObject({ code: "search_failed", retry: true, detail: { retryAfterMs: 50_000 } });
    expect(clock.now()).toBeLessThanOrEqual(120_000);
  },

  async "a wait that is longer than a job may hold its slot fails at once, and says when to come back"({
    answer,
    service,
    search,
    clock,
  }) {
    answer((_, response) => json(response, 429, service.busy, { "retry-after": "3600" }));
    const error = await thrownBy(search.web("fair"));
    expect(error).toMatchObject({ code: "search_failed", detail: { retryAfterMs: 3_600_000 } });
    expect(clock.now()).toBe(0);
  },

  async "a job that is canceled waits no longer"({ answer, service, search, clock }) {
    const canceled = new AbortController();
    const reason = new Error("canceled");
    answer((_, response) => {
      json(response, 429, service.busy, { "retry-after": "7" });
      canceled.abort(reason);
    });
    expect(await thrownBy(search.web("fair", { signal: canceled.signal }))).toBe(reason);
    expect(await thrownBy(search.web("fair", { signal: AbortSignal.abort(reason) }))).toBe(reason);
    expect(clock.now()).toBe(0);
  },

  async "a service that fails is asked three times; one that comes back costs nothing"(served) {
    const { answer, service, search, searches } = served;
    answer((_, response) => json(response, 500, "Internal Server Error"));
    const error = await thrownBy(search.web("fair"));
    expect(error).toMatchObject({ code: "search_failed", retry: true });
    expect(error.message).toMatch(/500/);
    expect(searches).toHaveLength(3);
    expectNoKey(served, shown(error));
    answer(
      (_, response) => json(response, 502, "<html>Bad gateway</html>"),
      (_, response) => json(response, 200, service.results([FAIR])),
    );
    expect(await search.web("fair", { count: 1 })).toHaveLength(1);
  },

  async "what is no JSON fails as what may pass; a page in its place does not pass"(served) {
    const { answer, search } = served;
    for (const text of ["", "{", "OK", '{"results": [', "\u0000\u0001"]) {
      answer((_, response) => json(response, 200, text));
      expect([text, (await thrownBy(search.web("fair"))).code]).toEqual([text, "search_failed"]);
    }
    answer((_, response) => json(response, 200, "<!DOCTYPE html><title>Sign in</title>"));
    const error = await thrownBy(search.web("fair"));
    expect(error).toMatchObject({ code: "search_rejected" });
    expect(error.hint).toContain("KAMADO_SEARCH_URL");
  },

  async "JSON of another program is told, and never an empty list"({ answer, search }) {
    for (const body of [{}, { ok: true }, [], "null", "7", { results: { a: 1 } }, { data: [] }]) {
      answer((_, response) => json(response, 200, body));
      const { code, message } = await thrownBy(search.web("fair"));
      expect([body, code]).toEqual([body, "search_rejected"]);
      expect(message).toContain("another program");
    }
  },

  async "results of any form cost at most themselves"({ answer, service, search }) {
    const odd: unknown[] = [
      null,
      7,
      "x",
      [],
      [FAIR],
      { url: {} },
      { url: "https://a.b/", title: ["x"], snippet: {} },
    ];
    const all = service.results([FAIR]) as Record<string, unknown>;
    const [name] = ["results", "organic_results"].filter((field) => field in all);
    const holder = (name === undefined ? all.web : all) as Record<string, unknown[]>;
    holder[name ?? "results"]!.push(...odd);
    answer((_, response) => json(response, 200, all));
    const found = await search.web("fair");
    expect(found[0]).toMatchObject({ url: "https://example.org/fair" });
    expect(found.length).toBeLessThanOrEqual(2);
  },

  async "a huge answer is refused before it is read to its end"({ answer, search }) {
    let sent = 0;
    answer((_, response) => {
      response.writeHead(200, { "content-type": "application/json" });
      const chunk = Buffer.alloc(1024 * 1024, " ");
      const more = () => {
        while (!response.destroyed && sent < 100) {
          sent += 1;
          if (!response.write(chunk)) return void response.once("drain", more);
        }
        response.end();
      };
      more();
    });
    expect(await thrownBy(search.web("fair"))).toMatchObject({ code: "search_rejected" });
    expect(sent).toBeLessThan(50);
  },

  async "one that never answers, or closes the connection, fails as what may pass"(served) {
    const { answer, search, searches } = served;
    answer(() => {});
    const late = await thrownBy(served.open({ timeoutMs: 200 }).web("fair"));
    expect(late).toMatchObject({ code: "search_failed" });
    expect(late.message).toContain("took too long");
    answer((_, response) => void response.destroy());
    const closed = await thrownBy(search.web("fair"));
    expect(closed).toMatchObject({ code: "search_failed" });
    expect(searches).toHaveLength(6);
    expectNoKey(served, shown(late) + shown(closed));
  },

  async "a redirect is not followed, because the key would go along"(served) {
    const { answer, search, searches } = served;
    answer((_, response) => void response.writeHead(302, { location: "http://127.0.0.1:1/x?key=1" }).end());
    const error = await thrownBy(search.web("fair"));
    expect(error).toMatchObject({ code: "search_rejected" });
    expect(error.message).toContain("redirects to http://127.0.0.1:1/x");
    expect(error.message).not.toContain("key=1");
    expect(searches).toHaveLength(1);
    expectNoKey(served, shown(error));
  },

  async "no error shows the key, even if the service repeats it"(served) {
    const { answer, service, search } = served;
    if (service.key === undefined) return;
    for (const status of [400, 418, 500]) {
      const said = `bad key ${service.key} or ${encodeURIComponent(service.key)}`;
      answer((_, response) => json(response, status, { error: said, detail: said, message: said }));
      const error = await thrownBy(search.web("fair"));
      expect(error.message).toContain("[secret]");
      expectNoKey(served, shown(error));
    }
  },

  async "a quota that is used up fails for good, and says so"({ answer, service, search, searches }) {
    if (service.usedUp === undefined) return;
    const [status, body, headers] = service.usedUp;
    answer((_, response) => json(response, status, body, headers));
    const error = await thrownBy(search.web("fair"));
    expect(error).toMatchObject({ code: "search_rejected" });
    expect(error.message).toContain("used up");
    expect(searches).toHaveLength(1);
  },

  async "an empty query is not sent"({ search, searches }) {
    expect(await thrownBy(search.web(" \n\u0000 "))).toMatchObject({ code: "search_rejected" });
    expect(searches).toEqual([]);
  },
} satisfies Promises<Served>;
