// Which targets the engine table counts as met, and how it shows them.
import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import {
  coldTable,
  costOf,
  failureLines,
  type Level,
  medianSample,
  possible,
  type Sample,
  targetsMet,
  warmTable,
} from "../../bench/engine.ts";

const plain = (text: string) => stripVTControlCharacters(text);
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

describe("our engine beside llama-server", () => {
  test("may use 0.87 of llama-server's CPU time at 8 and 16 at once, and 1.02 at one", () => {
    const shares = { first: 0.7, restarted: 0.83 };
    expect(targetsMet([level(1, 0.204, shares)])).toEqual({ met: 1, of: 1 });
    expect(targetsMet([level(8, 0.17, shares)])).toEqual({ met: 3, of: 3 });
    expect(targetsMet([level(16, 0.18, shares)])).toEqual({ met: 2, of: 3 });
  });

  test("must share 80 % of what a wave with a new prefix can share, from 4 at once on", () => {
    expect(targetsMet([level(4, 0.2, { first: 0.57, restarted: 0.8 })])).toEqual({ met: 2, of: 2 });
    expect(targetsMet([level(4, 0.2, { first: 0.55, restarted: 0.8 })])).toEqual({ met: 1, of: 2 });
    expect(targetsMet([level(2, 0.2, { first: 0, restarted: 0 })])).toEqual({ met: 0, of: 0 });
  });

  test("must share 80 % of all prompt tokens after a restart", () => {
    expect(targetsMet([level(4, 0.2, { first: 0.7, restarted: 0.79 })])).toEqual({ met: 1, of: 2 });
  });

  test("can share all of 500 common tokens only where they were kept", () => {
    const shape = { shared: 500, own: 100 };
    expect(possible(shape, 4).restarted).toBeCloseTo(0.833, 3);
    expect([4, 8, 16].map((count) => possible(shape, count).unseen.toFixed(3))).toEqual([
      "0.625",
      "0.729",
      "0.781",
    ]);
  });

  test.each([{ failures: 1 }, { uneven: 1 }])("meets no target in a row with %j", (bad) => {
    const one = level(8, 0.1, { first: 0.7, restarted: 0.8 });
    one.warm.ours = sample({ cpuSecondsPerJob: 0.1, ...bad });
    one.first.restarted = sample({ cachedShare: 0.8, ...bad });
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

  test("says why a request failed, after a restart too", () => {
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

describe("a sample", () => {
  test("has a cost for each good answer, so that failing saves nothing", () => {
    expect(costOf(3, sample({ requests: 4, failures: 2 })).cpuSecondsPerJob).toBe(1.5);
    expect(costOf(3, sample({ requests: 1, failures: 1 })).cpuSecondsPerJob).toBeNaN();
  });

  test("of several rounds has the median of each figure and the sum of the failures", () => {
    const rounds = [
      sample({ cpuSecondsPerJob: 0.3, failures: 1, firstFailure: "closed", uneven: 2 }),
      sample({ cpuSecondsPerJob: 0.1 }),
      sample({ cpuSecondsPerJob: 0.2, failures: 1, uneven: 1, tpotMs: undefined }),
    ];
    expect(medianSample(rounds)).toEqual({
      ...sample({ requests: 48, failures: 2, firstFailure: "closed", uneven: 3 }),
      cpuSecondsPerJob: 0.2,
    });
  });
});
