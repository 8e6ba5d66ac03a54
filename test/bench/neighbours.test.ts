// What the table of neighbours computes.
import { describe, expect, test } from "vitest";
import { counted, phaseOf, ratioOf } from "../../bench/neighbours.ts";

const good = (ms: number) => ({ ms, succeeded: true });

describe("a phase", () => {
  test("counts jobs that failed and jobs that did not end", () => {
    const ended = [good(10), good(20), { ms: 30, succeeded: false }, { ms: 90, succeeded: undefined }];
    expect(phaseOf(ended)).toMatchObject({ jobs: 4, failed: 1, unfinished: 1, longest: 90 });
  });

  test("that took twice as long has the ratio 2", () => {
    const [alone, beside] = [phaseOf([good(10), good(10)]), phaseOf([good(20), good(20)])];
    expect(ratioOf({ alone, beside })).toBe(2);
  });

  test("with a job that failed or did not end meets no target", () => {
    const alone = phaseOf([good(10)]);
    for (const succeeded of [false, undefined])
      expect(ratioOf({ alone, beside: phaseOf([{ ms: 10, succeeded }]) })).toBeNaN();
  });
});

test("the ends of the attacker's jobs are counted by name", () => {
  expect(counted(["budget_exceeded", "succeeded", "budget_exceeded"])).toBe("2 budget_exceeded, 1 succeeded");
  expect(counted([])).toBe("");
});
