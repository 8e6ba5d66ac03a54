// What a search service calls a result, as a hit.

import { describe, expect, test } from "vitest";
import { cleanHits } from "../../worker/search/hits.ts";
import fc from "../properties.ts";

const NOW = Date.UTC(2026, 2, 10, 12);
const hitOf = (more: object) =>
  cleanHits([{ url: "https://example.org/", title: "t", snippet: "s", ...more }], NOW)[0]!;

describe("a date", () => {
  test.each([
    ["2024-03-05", "2024-03-05"],
    ["2024-3-5", "2024-03-05"],
    ["2024/03/05", "2024-03-05"],
    ["2024年3月5日", "2024-03-05"],
    ["2024-03-05T10:30:00", "2024-03-05T10:30:00"],
    ["2024-03-05 10:30:00.123", "2024-03-05T10:30:00"],
    ["2024-03-05T10:30:00+0900", "2024-03-05T10:30:00+09:00"],
    ["2024-03-05T10:30:00.000Z", "2024-03-05T10:30:00Z"],
    ["2024-03-05T25:61:00", "2024-03-05"],
    ["Mar 5, 2024", "2024-03-05"],
    ["5 March 2024", "2024-03-05"],
    ["Tue, 05 Mar 2024 10:00:00 GMT", "2024-03-05T10:00:00.000Z"],
    ["3 days ago", "2026-03-07"],
    ["1 hour ago", "2026-03-10"],
    ["2 weeks ago", "2026-02-24"],
    ["3 日前", "2026-03-07"],
    ["5 時間前", "2026-03-10"],
    ["2024-02-31", null],
    ["yesterday", null],
    ["Foo 5, 2024", null],
    ["", null],
    [null, null],
    [1_709_600_000, null],
    [{}, null],
  ])("%j is %j", (published, date) => {
    expect(hitOf({ published }).published).toBe(date);
  });
});

test("a long title and a long snippet are cut, and no character is halved", () => {
  const { title, snippet } = hitOf({ title: "😀".repeat(1_000), snippet: "x".repeat(10_000) });
  expect(title.length).toBeLessThanOrEqual(500);
  expect(title.isWellFormed()).toBe(true);
  expect(snippet).toHaveLength(2_000);
});

test("whatever a service sends, each hit is readable, and none is there twice", () => {
  const odd = fc.constantFrom<unknown>(
    null,
    undefined,
    7,
    Number.NaN,
    {},
    [],
    ["x"],
    "\u0000",
    "\ud800",
    "&#0;",
  );
  const start = fc.constantFrom(
    "https://example.org/",
    "http://a.b:80",
    "HTTPS://例え.jp/?",
    "https://u@a.b/",
    "//",
  );
  const address = fc.tuple(start, fc.string()).map((parts) => parts.join(""));
  const sign = fc.constantFrom(
    "<b>",
    "<",
    "&",
    ";",
    " ",
    "\n",
    "\u0000",
    "\ud800",
    "傘",
    "😀",
    "&#x1F600;",
    "a",
  );
  const words = fc.array(sign, { maxLength: 12 }).map((signs) => signs.join(""));
  const value = fc.oneof(words, address, odd);
  const raw = fc.record({ url: value, title: value, snippet: value, published: value });
  fc.assert(
    fc.property(fc.array(raw, { maxLength: 4 }), (all) => {
      const hits = cleanHits(all, NOW);
      expect(new Set(hits.map(({ url }) => url)).size).toBe(hits.length);
      for (const { url, title, snippet, published } of hits) {
        expect(url).toMatch(/^https?:\/\//);
        expect(new URL(url).hash).toBe("");
        expect(title).not.toBe("");
        expect(`${title}${snippet}`).not.toMatch(/[\n\r\0]/);
        if (published !== null) expect(Number.isNaN(Date.parse(published))).toBe(false);
      }
    }),
    { numRuns: 50 },
  );
});
