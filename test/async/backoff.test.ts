import { expect, test } from "vitest";
import { backoffMs } from "../../worker/async/backoff.ts";

test("backoff doubles, stays within its limit and is never the same for two workers", () => {
  const options = { baseMs: 1_000, maxMs: 60_000 };
  expect([1, 2, 3].map((attempt) => backoffMs(attempt, { ...options, random: () => 1 }))).toEqual([
    1_000, 2_000, 4_000,
  ]);
  expect([1, 2, 3].map((attempt) => backoffMs(attempt, { ...options, random: () => 0 }))).toEqual([
    500, 1_000, 2_000,
  ]);
  expect(backoffMs(1_000, { ...options, random: () => 1 })).toBe(60_000);
});
