// What is special about SearXNG: formats, its limiter, engines that are silent, words that it takes for commands.
import { describe, expect, test } from "vitest";
import { json, type Served, serveService } from "./services.ts";

const ONE = { url: "https://example.org/1", title: "One", snippet: "1" };
const named = (from: number, count: number) =>
  Array.from({ length: count }, (_, nth) => ({ ...ONE, url: `https://example.org/${from + nth}` }));

const answering = (served: Served, status: number, body: object | string, headers = {}) =>
  served.answer((_, response) => json(response, status, body, headers));

describe("a refusal says what to do:", () => {
  test.each<[string, number, string, RegExp, RegExp]>([
    [
      "JSON is not allowed",
      403,
      "<title>403 Forbidden</title>",
      /not set to give JSON/,
      /json .*`search: formats:`/,
    ],
    [
      "its limiter is on",
      429,
      "Too Many Requests (botdetection: ip_limit)",
      /bot detection/,
      /limiter: false/,
    ],
    [
      "the address is that of another program",
      200,
      "<!DOCTYPE html><title>Router</title>",
      /a page where JSON/,
      /KAMADO_SEARCH_URL/,
    ],
    ["there is no such address", 404, "Not Found", /404 for \/search/, /KAMADO_SEARCH_URL/],
  ])("%s", async (_, status, body, message, hint) => {
    await using served = await serveService("searxng");
    answering(served, status, body);
    await expect(served.search.web("fair")).rejects.toMatchObject({
      code: "search_rejected",
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
    expect(await served.search.look()).toMatchObject({
      is: "bad",
      refusal: { is: "rejected", why: expect.stringMatching(message), hint: expect.stringMatching(hint) },
    });
  });
});

test("no results because its engines do not answer is not the same as nothing found", async () => {
  await using served = await serveService("searxng");
  const silent = [
    ["duckduckgo", "CAPTCHA"],
    ["google", "too many requests"],
  ];
  answering(served, 200, { query: "q", results: [], unresponsive_engines: silent });
  await expect(served.search.web("fair")).rejects.toMatchObject({
    code: "search_failed",
    message: expect.stringContaining("duckduckgo: CAPTCHA; google: too many requests"),
  });
  answering(served, 200, { ...served.service.results([ONE]), unresponsive_engines: silent });
  expect(await served.search.web("fair", { count: 1 })).toHaveLength(1);
});

test("words that it would take for commands are words", async () => {
  await using served = await serveService("searxng");
  answering(served, 200, served.service.nothing);
  for (const query of ["!!g fair", "!images town :de ?x <3s fair", "what is C#?", "a !b", "!"])
    await served.search.web(query);
  expect(served.searches.map((one) => served.service.asked(one).query)).toEqual([
    "g fair",
    "images town de x 3s fair",
    "what is C#?",
    "a b",
    "!",
  ]);
});

test("a second page is asked for where the first has fewer results than are wanted, and none more", async () => {
  await using served = await serveService("searxng");
  const page = (from: number, count: number) => served.service.results(named(from, count));
  served.answer(
    (_, response) => json(response, 200, page(0, 8)),
    (_, response) => json(response, 200, page(6, 8)),
  );
  expect(await served.search.web("fair", { count: 20 })).toHaveLength(14);
  expect(served.searches.map(({ path }) => new URL(path, "http://x").searchParams.get("pageno"))).toEqual([
    null,
    "2",
  ]);
  served.answer(
    (_, response) => json(response, 200, page(0, 8)),
    (_, response) => json(response, 400, "no"),
  );
  expect(await served.search.web("fair", { count: 20 })).toHaveLength(8);
});

test.each(["", "/", "/search", "/search?q=x&format=html", "/searxng", "/searxng/search/"])(
  "its address may be given as people copy it: …%s",
  async (suffix) => {
    await using served = await serveService("searxng");
    const { search, stub } = served;
    await search.close();
    await using again = await serveService("searxng", { url: `${stub.url}${suffix}` });
    served.answer((_, response) => json(response, 200, served.service.results([ONE])));
    await again.search.web("fair", { count: 1 });
    const { pathname } = new URL(served.searches[0]!.path, "http://x");
    expect(pathname).toBe(suffix.startsWith("/searxng") ? "/searxng/search" : "/search");
  },
);

test("whether it works is found out without a search", async () => {
  await using served = await serveService("searxng");
  answering(served, 400, { error: "No query" });
  expect(await served.search.look()).toEqual({ is: "ok", found: "answers, and gives JSON" });
  expect(served.searches.map(({ path }) => path)).toEqual(["/search?format=json"]);
});
