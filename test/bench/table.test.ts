// Which targets count as met, and how the tables show it.
import { describe, expect, test } from "vitest";
import { atLeast, atMost, digits, mark, meets } from "../../bench/table.ts";

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
    const sign = expected ? "✔" : "✘";
    expect(mark(value, target)).toMatchObject({ text: expect.stringMatching(`^${sign}`) });
  });

  test("that does not exist has no mark, and an unknown figure is a dash", () => {
    expect(mark(1, undefined)).toBe("");
    expect(digits(undefined, 2)).toBe("-");
    expect(digits(Number.NaN, 2)).toBe("-");
  });
});
