// What the concurrency table says of its levels.
import { expect, test } from "vitest";
import { concurrencyTable, medianLevel, rateGrowth, tokensPerCpuGrowth } from "../../bench/concurrency.ts";
import type { Figures } from "../../bench/figures.ts";

const figures = (more: Partial<Figures> = {}): Figures => ({
  requests: 16,
  failures: 0,
  uneven: 0,
  wallSeconds: 2,
  endToEndMs: { mean: 1_000, p50: 1_000, p95: 2_000, p99: 2_000 },
  ttftMs: 40,
  tpotMs: 5,
  promptTokensPerSecond: 1_000,
  completionTokensPerSecond: 100,
  cachedShare: 0.8,
  ...more,
});

test("the completion rate's growth compares the last level with the first", () => {
  const rates = [82.9, 100, 130].map((completionTokensPerSecond) => figures({ completionTokensPerSecond }));
  expect(rateGrowth(rates)).toBeCloseTo(1.57, 2);
});

test.each([{ failures: 1 }, { uneven: 1 }])("there is no growth with %j", (bad) => {
  expect(rateGrowth([figures(), figures({ completionTokensPerSecond: 900, ...bad })])).toBeNaN();
});

test("a level is the median of its waves, with the failures of all of them", () => {
  const wave = (completionTokensPerSecond: number, cpuMsPerToken: number, failures = 0) => ({
    ...figures({ completionTokensPerSecond, failures }),
    concurrency: 5,
    cpuMsPerToken,
  });
  expect(medianLevel([wave(10, 3), wave(30, 1, 1), wave(20, 2)])).toMatchObject({
    concurrency: 5,
    completionTokensPerSecond: 20,
    cpuMsPerToken: 2,
    failures: 1,
  });
});

test("the gain of batching is shown in CPU time when the server is our engine", () => {
  expect(tokensPerCpuGrowth([{ cpuMsPerToken: 12 }, { cpuMsPerToken: 9 }, { cpuMsPerToken: 4 }])).toBe(3);
  expect(tokensPerCpuGrowth([{}, {}])).toBeUndefined();
});

test("a level in which every request failed is shown with dashes", () => {
  const endToEndMs = { mean: Number.NaN, p50: Number.NaN, p95: Number.NaN, p99: Number.NaN };
  const broken = {
    ...figures({ failures: 16, ttftMs: undefined, tpotMs: undefined }),
    endToEndMs,
    concurrency: 5,
  };
  const [, row] = concurrencyTable([broken]).split("\n");
  expect(row!.trim().split(/\s+/)).toEqual("5 16 2.0 - - - - - - 1000 100.0 - 80.0 % 0 16".split(" "));
});
