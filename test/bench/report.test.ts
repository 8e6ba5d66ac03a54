// Which targets count as met, and how a table says so.
import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import {
  concurrencyTable,
  medianLevel,
  rateGrowth,
  tokensPerCpuGrowth,
} from "../../bench/concurrency-report.ts";
import { throughputRatio } from "../../bench/end-to-end.ts";
import { possible } from "../../bench/engine-level.ts";
import { coldTable, failureLines, type Level, targetsMet, warmTable } from "../../bench/engine-report.ts";
import { growthOf } from "../../bench/memory-report.ts";
import type { Sample } from "../../bench/sample.ts";
import { type SoakTenth, verdictsOf } from "../../bench/soak-report.ts";
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
  endToEndMs: { mean: 1_000, p50: 1_000, p95: 2_000, p99: 2_000 },
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
  possible: { unseen: 0.7, restarted: 0.83 },
});

describe("the engine beside llama-server", () => {
  test("must need 0.87 of the CPU at 8 and 16 at once, and 1.02 at one", () => {
    const shares = { first: 0.7, restarted: 0.83 };
    expect(targetsMet([level(1, 0.204, shares)])).toEqual({ met: 1, of: 1 });
    expect(targetsMet([level(8, 0.17, shares)])).toEqual({ met: 3, of: 3 });
    expect(targetsMet([level(16, 0.18, shares)])).toEqual({ met: 2, of: 3 });
  });

  test("must share, from 4 at once on, 80 % of what an unseen wave can share", () => {
    expect(targetsMet([level(4, 0.2, { first: 0.57, restarted: 0.8 })])).toEqual({ met: 2, of: 2 });
    expect(targetsMet([level(4, 0.2, { first: 0.55, restarted: 0.8 })])).toEqual({ met: 1, of: 2 });
    expect(targetsMet([level(2, 0.2, { first: 0, restarted: 0 })])).toEqual({ met: 0, of: 0 });
  });

  test("must share 80 % of all prompt tokens after a restart, whatever is possible", () => {
    expect(targetsMet([level(4, 0.2, { first: 0.7, restarted: 0.79 })])).toEqual({ met: 1, of: 2 });
  });

  test("of 500 common and 100 own tokens can share all of the 500 only where they were kept", () => {
    const shape = { shared: 500, own: 100 };
    expect(possible(shape, 4).restarted).toBeCloseTo(0.833, 3);
    expect([4, 8, 16].map((count) => possible(shape, count).unseen.toFixed(3))).toEqual([
      "0.625",
      "0.729",
      "0.781",
    ]);
  });

  test.each([{ failures: 1 }, { uneven: 1 }])("meets nothing in a row with %j", (spoiled) => {
    const one = level(8, 0.1, { first: 0.7, restarted: 0.8 });
    one.warm.ours = sample({ cpuSecondsPerJob: 0.1, ...spoiled });
    one.first.restarted = sample({ cachedShare: 0.8, ...spoiled });
    expect(targetsMet([one])).toEqual({ met: 1, of: 3 });
    expect(plain(warmTable([one]))).toContain("✘ <= 0.87");
    expect(
      plain(coldTable([one]))
        .split("\n")
        .at(-1),
    ).toContain("✘ >= 0.8");
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

  test("says why a request failed, also after the restart", () => {
    const failing = level(8, 0.1, { first: 1, restarted: 1 });
    failing.warm.theirs = sample({ failures: 1, firstFailure: "other side closed" });
    failing.first.restarted = sample({ uneven: 2 });
    expect(failureLines([failing])).toEqual([
      "C=8, theirs: 1 failed, the first: other side closed",
      "C=8, ours after a restart: 2 answers are not as long as was asked for",
    ]);
    expect(failureLines([level(8, 0.1, { first: 1, restarted: 1 })])).toEqual([]);
  });
});

test("the growth of the completion rate is that of the last level against the first", () => {
  const rates = [82.9, 100, 130].map((completionTokensPerSecond) => sample({ completionTokensPerSecond }));
  expect(rateGrowth(rates)).toBeCloseTo(1.57, 2);
});

test.each([{ failures: 1 }, { uneven: 1 }])("there is no growth to tell beside %j", (spoiled) => {
  expect(rateGrowth([sample(), sample({ completionTokensPerSecond: 900, ...spoiled })])).toBeNaN();
});

test("a level is the median of its waves, and what failed in any of them", () => {
  const wave = (completionTokensPerSecond: number, cpuMsPerToken: number, failures = 0) => ({
    ...sample({ completionTokensPerSecond, failures }),
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
  const tenths = (...values: number[]) => values.map((residentBytes) => ({ residentBytes, failures: 0 }));

  test("grows by what comes on top after the first fifth, as a part of what was there", () => {
    expect(growthOf(tenths(50, 100, 180, 130))).toEqual({ bytes: 30, share: 0.3 });
  });

  test("meets nothing when a request failed", () => {
    const [first, ...rest] = tenths(100, 100, 100);
    expect(growthOf([{ ...first!, failures: 1 }, ...rest]).share).toBeNaN();
  });
});

describe("a long run", () => {
  const tenth = (more: Partial<SoakTenth>): SoakTenth => ({
    jobs: 100,
    residentBytes: 100e6,
    handles: 30,
    descriptors: 70,
    jobsPerSecond: 10,
    workerCpuPerJob: 0.01,
    ...more,
  });
  const met = (...tenths: SoakTenth[]) => verdictsOf(tenths).map(({ value, target }) => meets(value, target));

  test("is flat when connections only come and go", () => {
    expect(met(tenth({ handles: 20 }), tenth({ handles: 36 }), tenth({}), tenth({ handles: 31 }))).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });

  test.each([
    ["memory at its peak", { residentBytes: 121e6 }, {}, 0],
    ["memory over time", {}, { residentBytes: 109e6 }, 1],
    ["handles", {}, { handles: 39 }, 2],
    ["descriptors", {}, { descriptors: 79 }, 3],
  ])("is not where it grows: %s", (_, before, after, place) => {
    expect(met(tenth({}), tenth(before), tenth({}), tenth(after))[place]).toBe(false);
  });

  test("says nothing of descriptors where the system does not show them", () => {
    const none = tenth({ descriptors: undefined });
    expect(met(none, none)).toHaveLength(3);
  });
});
