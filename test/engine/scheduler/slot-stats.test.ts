import { expect, test } from "vitest";
import { Rate } from "../../../worker/engine/scheduler/slot-stats.ts";

test("the rate is the mean of the last whole seconds", () => {
  let now = 0;
  const rate = new Rate(() => now);
  for (now = 0; now < 5_000; now += 100) rate.count();
  expect(rate.perSecond()).toBe(10);
  now = 7_999;
  expect(rate.perSecond()).toBe(6);
  now = 60_000;
  expect(rate.perSecond()).toBe(0);
});
