// What is special about Tavily: credits, and countries in place of languages.
import { describe, expect, test } from "vitest";
import { json, type Served, serveService } from "./services.ts";

const answering = (served: Served, status: number, body: object | string) =>
  served.answer((_, response) => json(response, status, body));

test("a search costs one credit: it is basic, whatever else the service would choose", async () => {
  await using served = await serveService("tavily");
  answering(served, 200, served.service.nothing);
  await served.search.web("fair", { count: 50, language: "en" });
  expect(served.searches[0]).toMatchObject({ method: "POST", path: "/search" });
  expect(JSON.parse(served.searches[0]!.body)).toEqual({
    query: "fair",
    max_results: 20,
    search_depth: "basic",
  });
});

test.each([432, 433, 402])("%i is a quota that is used up", async (status) => {
  await using served = await serveService("tavily");
  answering(served, status, { detail: { error: "limit" } });
  await expect(served.search.web("fair")).rejects.toMatchObject({
    code: "search_rejected",
    message: expect.stringContaining("used up"),
  });
});

test("what it says of a request that it refuses is passed on", async () => {
  await using served = await serveService("tavily");
  answering(served, 400, { detail: { error: "Query is too short." } });
  await expect(served.search.web("f")).rejects.toMatchObject({
    message: expect.stringMatching(/^Tavily at 127\.0\.0\.1:\d+: it answers 400: Query is too short\.$/),
  });
});

describe("its usage says whether the key works, and costs no credit:", () => {
  test.each<[string, object, object]>([
    [
      "credits left",
      { key: { usage: 150, limit: 1_000 }, account: { plan_usage: 500, plan_limit: 1_000 } },
      { is: "ok", found: "takes the key; 500 of 1000 credits are left" },
    ],
    ["no limit", { key: { usage: 1, limit: null } }, { is: "ok", found: "takes the key" }],
    [
      "none left",
      { account: { plan_usage: 1_000, plan_limit: 1_000, paygo_limit: null } },
      { is: "bad", refusal: expect.objectContaining({ why: expect.stringContaining("used up") }) },
    ],
    [
      "none left, and pay as you go",
      { account: { plan_usage: 1_000, plan_limit: 1_000, paygo_limit: 100 } },
      { is: "ok", found: "takes the key; 0 of 1000 credits are left" },
    ],
  ])("%s", async (_, body, look) => {
    await using served = await serveService("tavily");
    answering(served, 200, body);
    expect(await served.search.look()).toEqual(look);
    expect(served.searches).toMatchObject([{ method: "GET", path: "/usage" }]);
  });
});
