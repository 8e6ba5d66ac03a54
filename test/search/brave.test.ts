// What is special about Brave: its pace and its quota stand in the headers, its languages have codes of their own.
import { describe, expect, test } from "vitest";
import { brave } from "../../worker/search/brave.ts";
import { json, type Served, serveService } from "./services.ts";

const ONE = { url: "https://example.org/1", title: "One", snippet: "1" };
const rates = (limit: string, remaining: string, reset = "1, 1419704") => ({
  "x-ratelimit-limit": limit,
  "x-ratelimit-policy": "1;w=1, 2000;w=2592000",
  "x-ratelimit-remaining": remaining,
  "x-ratelimit-reset": reset,
});
const answering = (served: Served, status: number, body: object, headers = {}) =>
  served.answer((_, response) => json(response, status, body, headers));

test.each([
  ["ja", "jp"],
  ["ja-JP", "jp"],
  ["en-GB", "en-gb"],
  ["en-US", "en"],
  ["zh-TW", "zh-hant"],
  ["zh", "zh-hans"],
  ["pt-BR", "pt-br"],
  ["pt", "pt-pt"],
  ["DE_at", "de"],
  ["eo", undefined],
  ["not a language", undefined],
])("the language %s is its %s", async (language, code) => {
  await using served = await serveService("brave");
  answering(served, 200, served.service.nothing);
  await served.search.web("fair", { language });
  expect(served.service.asked(served.searches[0]!).language).toBe(code);
});

test("a query is no longer than it takes", async () => {
  await using served = await serveService("brave");
  answering(served, 200, served.service.nothing);
  await served.search.web("word ".repeat(70));
  await served.search.web("傘".repeat(500));
  const [words, characters] = served.searches.map((one) => String(served.service.asked(one).query));
  expect(words!.split(" ")).toHaveLength(50);
  expect(characters).toHaveLength(400);
});

test("a 429 without Retry-After waits as long as its own header says", async () => {
  await using served = await serveService("brave");
  served.answer(
    (_, response) => json(response, 429, served.service.busy, rates("1, 2000", "0, 700", "3, 1419704")),
    (_, response) => json(response, 200, served.service.results([ONE]), rates("1, 2000", "0, 699")),
  );
  expect(await served.search.web("fair")).toHaveLength(1);
  expect(served.clock.slept).toEqual([3_000]);
});

test("a month that is used up says when it is renewed", async () => {
  await using served = await serveService("brave");
  const [status, body, headers] = served.service.usedUp!;
  answering(served, status, body, headers);
  await expect(served.search.web("fair")).rejects.toMatchObject({
    message: expect.stringContaining("used up; it renews them in 17 days"),
  });
});

test.each([
  ["50, 0", 22],
  ["1, 2000", 1_100],
  ["0, 0", undefined],
  ["many", undefined],
  ["", undefined],
])("its answers set the pace: at %j a second the shortest time between two is %s ms", (limit, gapMs) => {
  expect(brave.gapFrom?.(rates(limit, "1, 1"))).toBe(gapMs);
});

describe("whether the key works is found out by a request that does not count:", () => {
  test("one without a query is refused for that", async () => {
    await using served = await serveService("brave");
    const body = { type: "ErrorResponse", error: { code: "VALIDATION", detail: "Unable to validate." } };
    answering(served, 422, body, rates("1, 2000", "1, 1234"));
    expect(await served.search.look()).toEqual({
      is: "ok",
      found: "takes the key; 1234 of 2000 searches are left this month",
    });
    expect(served.service.asked(served.searches[0]!)).toMatchObject({
      query: undefined,
      key: served.service.key,
    });
  });

  test("or for the key", async () => {
    await using served = await serveService("brave");
    const [status, body] = served.service.refusesKey;
    answering(served, status, body as object);
    expect(await served.search.look()).toMatchObject({
      is: "bad",
      refusal: { why: expect.stringContaining("refuses the key"), hint: expect.stringContaining("KEY") },
    });
  });
});
