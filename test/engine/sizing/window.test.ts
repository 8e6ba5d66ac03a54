import { describe, expect, test } from "vitest";
import { rateOf } from "../../../worker/engine/sizing/window.ts";

describe("a rate", () => {
  const steps = (from: number, every: number, count: number) =>
    Array.from({ length: count }, (_, step) => from + step * every);

  test.each([
    ["is that of one alone", [steps(0, 10, 11)], 100],
    ["is the sum of all", [steps(0, 10, 11), steps(0, 10, 11)], 200],
    ["counts only while all of them decode", [steps(0, 1, 100), steps(90, 10, 21)], undefined],
    [
      "begins when the last one begins and ends when the first one ends",
      [steps(0, 10, 60), steps(300, 20, 30)],
      150,
    ],
    ["does not depend on when in a step each token is sent", [steps(0, 20, 30), steps(7, 20, 30)], 100],
    ["is unknown for answers that hardly began", [steps(0, 10, 11), [200]], undefined],
    ["is unknown for a burst", [steps(0, 0.01, 50), steps(0.2, 0.01, 50)], undefined],
    ["is unknown for answers that never came", [[], steps(0, 10, 11)], undefined],
  ])("%s", (_, times, expected) => {
    const rate = rateOf(times);
    if (expected === undefined) expect(rate).toBeUndefined();
    else expect(rate).toBeCloseTo(expected, 6);
  });
});
