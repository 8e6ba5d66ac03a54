// What the table of fairness counts as a wait.
import { expect, test } from "vitest";
import { longestOf, Singles } from "../../bench/fairness.ts";

test("a single job waits from when it was sent, or the worker began, until it starts; other jobs do not count", () => {
  let now = 0;
  const singles = new Singles(100, () => now);
  singles.sent("before");
  now = 1_000;
  singles.workerBegan();
  now = 1_050;
  singles.started("crowd-1");
  singles.sent("after");
  now = 1_150;
  singles.started("before");
  singles.started("after");
  // Received once more.
  singles.started("after");
  expect(singles.waits).toEqual([1.5, 1]);
  expect(longestOf(singles.waits)).toBe(1.5);
});

test("where no single job was sent, nothing is claimed", () => {
  expect(longestOf([])).toBeNaN();
});
