// What the tables' figures mean: statistics, the time to a first token, shares, and medians over rounds.
import { describe, expect, test } from "vitest";
import type { Answer } from "../../bench/answer-reader.ts";
import { complaints, figuresOf, isSound, tpotMs, ttftMs } from "../../bench/figures.ts";
import { interleave } from "../../bench/interleave.ts";
import { costOf, medianSample, type Sample } from "../../bench/sample.ts";
import { mean, median, percentile } from "../../bench/statistics.ts";

describe("statistics", () => {
  test.each([
    [[3, 1, 2], 50, 2],
    [[4, 1, 3, 2], 50, 2.5],
    [[10], 99, 10],
    [[0, 10], 95, 9.5],
    [[1, 2, 3], 0, 1],
    [[1, 2, 3], 100, 3],
  ])("of %j the %i th percentile is %f", (values, percent, expected) => {
    expect(percentile(values, percent)).toBe(expected);
  });

  test("leave their values as they were, and say of nothing that it is no number", () => {
    const values = [3, 1, 2];
    expect(median(values)).toBe(2);
    expect(values).toEqual([3, 1, 2]);
    expect(median([])).toBeNaN();
    expect(mean([])).toBeNaN();
  });
});

const answer = (more: Partial<Answer> = {}): Answer => ({
  startedMs: 100,
  firstMs: 150,
  endedMs: 350,
  promptTokens: 60,
  cachedTokens: 45,
  completionTokens: 5,
  ...more,
});

describe("one answer", () => {
  test("has a time to its first token, and a time for each one after it", () => {
    expect(ttftMs(answer())).toBe(50);
    expect(tpotMs(answer())).toBe(50);
  });

  test("that came whole has neither", () => {
    const { firstMs: _, ...whole } = answer();
    expect(ttftMs({ ...whole, firstMs: undefined })).toBeUndefined();
    expect(tpotMs({ ...whole, firstMs: undefined })).toBeUndefined();
  });

  test("of a single token has no time for each one after it", () => {
    expect(tpotMs(answer({ completionTokens: 1 }))).toBeUndefined();
  });
});

describe("a wave", () => {
  const failed = answer({ failure: "429: full", promptTokens: 0, cachedTokens: 0, completionTokens: 0 });

  test("counts a failed request as failed and in no other figure", () => {
    const figures = figuresOf({ wallMs: 2_000, answers: [answer(), failed, answer({ endedMs: 550 })] }, 5);
    expect(figures).toMatchObject({
      requests: 3,
      failures: 1,
      firstFailure: "429: full",
      uneven: 0,
      wallSeconds: 2,
      promptTokensPerSecond: 60,
      completionTokensPerSecond: 5,
      cachedShare: 0.75,
      endToEndMs: { mean: 350, p50: 350 },
    });
  });

  test("tells how many answers were not as long as was asked for", () => {
    const answers = [answer(), answer({ completionTokens: 4 })];
    expect(figuresOf({ wallMs: 1, answers }, 5).uneven).toBe(1);
  });

  test("costs what it costs for each good answer, so that failing saves nothing", () => {
    const figures = figuresOf({ wallMs: 1, answers: [answer(), failed, answer(), failed] }, 5);
    expect(costOf(3, figures).cpuSecondsPerJob).toBe(1.5);
    expect(costOf(3, figuresOf({ wallMs: 1, answers: [failed] }, 5)).cpuSecondsPerJob).toBeNaN();
  });

  test("is sound only when all was answered and as long as was asked for, and says what is not", () => {
    const good = figuresOf({ wallMs: 1, answers: [answer()] }, 5);
    const bad = figuresOf({ wallMs: 1, answers: [answer({ completionTokens: 4 }), failed] }, 5);
    expect([isSound(good), complaints(good)]).toEqual([true, []]);
    expect([isSound(bad), complaints(bad)]).toEqual([
      false,
      ["1 failed, the first: 429: full", "1 answers are not as long as was asked for"],
    ]);
  });
});

describe("rounds", () => {
  test.each([
    [1, "AB"],
    [2, "ABBA"],
    [3, "ABBAAB"],
  ])("%i of them take turns: %s", (rounds, expected) => {
    expect(interleave(["A", "B"], rounds).join("")).toBe(expected);
  });

  test("of more than two go there and back", () => {
    expect(interleave([1, 5, 20], 2)).toEqual([1, 5, 20, 20, 5, 1]);
  });

  const sample = (more: Partial<Sample>): Sample => ({
    requests: 4,
    failures: 0,
    uneven: 0,
    wallSeconds: 1,
    endToEndMs: { mean: 1, p50: 1, p95: 1, p99: 1 },
    ttftMs: 10,
    tpotMs: undefined,
    promptTokensPerSecond: 1,
    completionTokensPerSecond: 1,
    cachedShare: 0.5,
    cpuSecondsPerJob: 0.2,
    mainThreadShare: undefined,
    ...more,
  });

  test("give the median of each figure and the sum of what went wrong", () => {
    const rounds = [
      sample({ cpuSecondsPerJob: 0.3, failures: 1, firstFailure: "closed", uneven: 2 }),
      sample({ cpuSecondsPerJob: 0.1 }),
      sample({ cpuSecondsPerJob: 0.2, failures: 1, uneven: 1 }),
    ];
    expect(medianSample(rounds)).toEqual({
      ...sample({ requests: 12, failures: 2, firstFailure: "closed", uneven: 3 }),
      cpuSecondsPerJob: 0.2,
    });
  });
});
