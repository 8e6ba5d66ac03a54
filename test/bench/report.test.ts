// Which targets count as met, and how a table says so.
import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { concurrencyTable, rateGrowth, tokensPerCpuGrowth } from "../../bench/concurrency-report.ts";
import { throughputRatio } from "../../bench/end-to-end.ts";
import { coldTable, failureLines, type Level, targetsMet, warmTable } from "../../bench/engine-report.ts";
import { growthOf, lateGrowthOf } from "../../bench/memory.ts";
import type { Sample } from "../../bench/sample.ts";
import { atLeast, atMost, digits, mark, meets } from "../../bench/table.ts";

const plain = (text: string) => stripVTControlCharacters(text);

describe("a target", () => {
  test.each([
    [0.87, atMost(0.87), true],
    [0.88, atMost(0.87), false],
    [3.5, atLeast(3.5), true],
    [3.4, atLeast(3.5), false],
    [Number.NaN, atMost(1), false],
    [Number.NaN, atLeast(0), false],
  ])("%f against %j: %s", (value, target, expected) => {
    expect(meets(value, target)).toBe(expected);
    expect(plain(mark(value, target)).startsWith(expected ? "✔" : "✘")).toBe(true);
  });

  test("that is none is not marked, and what is unknown is a dash", () => {
    expect(mark(1, undefined)).toBe("");
    expect(digits(undefined, 2)).toBe("-");
    expect(digits(Number.NaN, 2)).toBe("-");
  });
});

const sample = (more: Partial<Sample> = {}): Sample => ({
  requests: 16,
  failures: 0,
  uneven: 0,
  wallSeconds: 2,
  ttftMs: 40,
  tpotMs: 5,
  promptTokensPerSecond: 1_000,
  completionTokensPerSecond: 100,
  cachedShare: 0.8,
  cpuSecondsPerJob: 0.2,
  mainThreadShare: 0.03,
  ...more,
});
const level = (concurrency: number, ours: number, shares: { first: number; restarted: number }): Level => ({
  concurrency,
  warm: { ours: sample({ cpuSecondsPerJob: ours }), theirs: sample() },
  first: {
    ours: sample({ cachedShare: shares.first }),
    theirs: sample({ cachedShare: 0 }),
    restarted: sample({ cachedShare: shares.restarted }),
  },
  possibleCachedShare: 0.7,
});

describe("the engine beside llama-server", () => {
  test("must need 0.87 of the CPU at 8 and 16 at once, and 1.02 at one", () => {
    const shares = { first: 0.7, restarted: 0.7 };
    expect(targetsMet([level(1, 0.204, shares)])).toEqual({ met: 1, of: 1 });
    expect(targetsMet([level(8, 0.17, shares)])).toEqual({ met: 3, of: 3 });
    expect(targetsMet([level(16, 0.18, shares)])).toEqual({ met: 2, of: 3 });
  });

  test("must share, from 4 at once on, 80 % of what a first wave can share, also after a restart", () => {
    expect(targetsMet([level(4, 0.2, { first: 0.57, restarted: 0.5 })])).toEqual({ met: 1, of: 2 });
    expect(targetsMet([level(2, 0.2, { first: 0, restarted: 0 })])).toEqual({ met: 0, of: 0 });
  });

  test("is shown with both figures, their ratio and the verdict", () => {
    const levels = [level(8, 0.17, { first: 0.7, restarted: 0.2 })];
    const [, row] = plain(warmTable(levels)).split("\n");
    expect(
      row!
        .trim()
        .split(/\s{2,}/)
        .slice(0, 5),
    ).toEqual(["8", "0.170", "0.200", "0.850", "✔ <= 0.87"]);
    const cold = plain(coldTable(levels)).split("\n").slice(1);
    expect(cold.map((line) => /[✔✘]/.exec(line)?.[0])).toEqual([undefined, "✔", "✘"]);
  });

  test("says why a request failed", () => {
    const failing = level(8, 0.1, { first: 1, restarted: 1 });
    failing.warm.theirs = sample({ failures: 1, firstFailure: "other side closed" });
    expect(failureLines([failing])).toEqual(["C=8, theirs: a request failed: other side closed"]);
    expect(failureLines([level(8, 0.1, { first: 1, restarted: 1 })])).toEqual([]);
  });
});

test("the growth of the completion rate is that of the last level against the first", () => {
  const rates = [82.9, 100, 130].map((completionTokensPerSecond) => ({ completionTokensPerSecond }));
  expect(rateGrowth(rates)).toBeCloseTo(1.57, 2);
});

test("what batching gains is told in CPU time where the server is ours", () => {
  expect(tokensPerCpuGrowth([{ cpuMsPerToken: 12 }, { cpuMsPerToken: 9 }, { cpuMsPerToken: 4 }])).toBe(3);
  expect(tokensPerCpuGrowth([{}, {}])).toBeUndefined();
});

test("a level of which every request failed is shown with dashes", () => {
  const endToEndMs = { mean: Number.NaN, p50: Number.NaN, p95: Number.NaN, p99: Number.NaN };
  const broken = {
    ...sample({ failures: 16, ttftMs: undefined, tpotMs: undefined }),
    endToEndMs,
    concurrency: 5,
  };
  const [, row] = plain(concurrencyTable([broken])).split("\n");
  expect(row!.trim().split(/\s+/)).toEqual("5 16 2.0 - - - - - - 1000 100.0 - 80.0 % 0 16".split(" "));
});

test("the worker's throughput is compared by the medians of its runs and the bare engine's", () => {
  const run = (who: "bare" | "worker", wallSeconds: number) => ({ who, wallSeconds, jobs: 100 });
  const runs = [run("bare", 10), run("worker", 12.5), run("worker", 12.5), run("bare", 10), run("bare", 50)];
  expect(throughputRatio(runs)).toBeCloseTo(0.8);
});

describe("memory", () => {
  const tenths = (...values: number[]) => values.map((residentBytes) => ({ residentBytes }));

  test("grows by what comes on top after the first tenth", () => {
    expect(growthOf(tenths(100, 160, 130))).toBe(30);
  });

  test("has come to rest when its end is not above its first half", () => {
    expect(lateGrowthOf(tenths(100, 160, 150, 158))).toBe(-2);
    expect(lateGrowthOf(tenths(100, 110, 120, 130))).toBe(20);
  });
});
