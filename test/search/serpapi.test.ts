// What is special about SerpApi: its key stands in the address, and its account tells an hour's rate from a plan that is used up.
import { expect, test } from "vitest";
import { json, type Served, serveService } from "./services.ts";

const ONE = { url: "https://example.org/1", title: "One", snippet: "1" };
const named = (from: number, count: number) =>
  Array.from({ length: count }, (_, nth) => ({ ...ONE, url: `https://example.org/${from + nth}` }));
const answering = (served: Served, status: number, body: object | string) =>
  served.answer((_, response) => json(response, status, body));

test("the account is asked once before the first search, and a plan that is used up costs no request more", async () => {
  await using served = await serveService("serpapi");
  answering(served, 200, served.service.results([ONE]));
  for (const query of ["a", "b", "c"]) await served.search.web(query, { count: 1 });
  expect(served.looks()).toBe(1);
  served.setAccount({ total_searches_left: 0 });
  answering(served, 429, served.service.busy);
  await expect(served.search.web("d")).rejects.toMatchObject({
    code: "search_rejected",
    message: expect.stringContaining("used up; they are renewed on 2026-12-17"),
  });
  expect(served.searches).toHaveLength(4);
  // It is renewed.
  served.setAccount({});
  answering(served, 200, served.service.results([ONE]));
  expect(await served.search.web("e", { count: 1 })).toHaveLength(1);
});

test("a 429 of the hour's rate is waited for, and the search is not lost", async () => {
  await using served = await serveService("serpapi");
  served.answer(
    (_, response) => json(response, 429, served.service.busy),
    (_, response) => json(response, 200, served.service.results([ONE])),
  );
  expect(await served.search.web("fair", { count: 1 })).toHaveLength(1);
  expect(served.clock.slept).toHaveLength(1);
});

test("the searches of this hour that others did already count", async () => {
  await using served = await serveService("serpapi", { maxWaitMs: 200 });
  served.setAccount({ account_rate_limit_per_hour: 50, this_hour_searches: 48 });
  answering(served, 200, served.service.results([ONE]));
  await served.search.web("a", { count: 1 });
  await served.search.web("b", { count: 1 });
  await expect(served.search.web("c", { count: 1 })).rejects.toMatchObject({
    code: "search_failed",
    message: expect.stringContaining("its quota allows no further search"),
  });
  expect(served.searches).toHaveLength(2);
});

test("more than ten results are two searches", async () => {
  await using served = await serveService("serpapi");
  served.answer(
    (_, response) => json(response, 200, served.service.results(named(0, 10))),
    (_, response) => json(response, 200, served.service.results(named(10, 9))),
  );
  expect(await served.search.web("fair", { count: 20 })).toHaveLength(19);
  expect(served.searches.map(({ path }) => new URL(path, "http://x").searchParams.get("start"))).toEqual([
    null,
    "10",
  ]);
});

test.each([
  ["ja", { hl: "ja", lr: "lang_ja" }],
  ["en-GB", { hl: "en", lr: "lang_en", gl: "uk" }],
  ["zh-TW", { hl: "zh-tw", lr: "lang_zh-TW" }],
  ["pt-BR", { hl: "pt-br", lr: "lang_pt", gl: "br" }],
])("the language %s is %j", async (language, parameters) => {
  await using served = await serveService("serpapi");
  answering(served, 200, served.service.nothing);
  await served.search.web("fair", { language });
  const { hl, lr, gl } = Object.fromEntries(new URL(served.searches[0]!.path, "http://x").searchParams);
  expect({ hl, lr, ...(gl !== undefined && { gl }) }).toEqual(parameters);
});

test("an error in place of results is no empty list", async () => {
  await using served = await serveService("serpapi");
  answering(served, 200, { search_metadata: { status: "Error" }, error: "We couldn't get valid results." });
  await expect(served.search.web("fair")).rejects.toMatchObject({ code: "search_failed" });
});

test("the account says whether the key works, and costs no search", async () => {
  await using served = await serveService("serpapi");
  expect(await served.search.look()).toEqual({
    is: "ok",
    found: "takes the key; 200 searches are left, 50 an hour",
  });
  served.setAccount({ total_searches_left: 0 });
  expect(await served.search.look()).toMatchObject({
    is: "bad",
    refusal: { why: expect.stringContaining("used up") },
  });
  expect(served.searches).toEqual([]);
});
