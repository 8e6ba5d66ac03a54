// What the tables' figures mean: statistics, time to the first token, shares, and the order of rounds.
import { describe, expect, test } from "vitest";
import {
  figuresOf,
  interleave,
  isSound,
  mean,
  median,
  percentile,
  problemsOf,
  tpotMs,
  ttftMs,
} from "../../bench/figures.ts";
import type { Answer } from "../../bench/load.ts";

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

  test("do not change their values, and are NaN for an empty list", () => {
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
  test("has a time to its first token and a time for each token after it", () => {
    expect(ttftMs(answer())).toBe(50);
    expect(tpotMs(answer())).toBe(50);
  });

  test("that was not streamed has neither", () => {
    const { firstMs: _, ...whole } = answer();
    expect(ttftMs({ ...whole, firstMs: undefined })).toBeUndefined();
    expect(tpotMs({ ...whole, firstMs: undefined })).toBeUndefined();
  });

  test("of a single token has no time for the tokens after it", () => {
    expect(tpotMs(answer({ completionTokens: 1 }))).toBeUndefined();
  });
});

describe("a wave", () => {
  const failed = answer({ failure: "429: full", promptTokens: 0, cachedTokens: 0, completionTokens: 0 });

  test("counts a failed request as a failure and in no other figure", () => {
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

  test("counts the answers that are not as long as was asked for", () => {
    const answers = [answer(), answer({ completionTokens: 4 })];
    expect(figuresOf({ wallMs: 1, answers }, 5).uneven).toBe(1);
  });

  test("is sound only when every answer is there and as long as was asked for; otherwise it says why", () => {
    const good = figuresOf({ wallMs: 1, answers: [answer()] }, 5);
    const bad = figuresOf({ wallMs: 1, answers: [answer({ completionTokens: 4 }), failed] }, 5);
    expect([isSound(good), problemsOf(good)]).toEqual([true, []]);
    expect([isSound(bad), problemsOf(bad)]).toEqual([
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
  ])("%i of them alternate: %s", (rounds, expected) => {
    expect(interleave(["A", "B"], rounds).join("")).toBe(expected);
  });

  test("of more than two run forwards and backwards", () => {
    expect(interleave([1, 5, 20], 2)).toEqual([1, 5, 20, 20, 5, 1]);
  });
});
