// What the utilisation table counts as busy, and that everyone gets the same jobs.
import { expect, test } from "vitest";
import { durationsOf, SHAPES } from "../../bench/durations.ts";
import { SlotClock } from "../../bench/slot-clock.ts";
import { mean } from "../../bench/statistics.ts";

test("slots are busy as long as runs last, from the first begun to the last begun", async () => {
  let now = 0;
  const clock = new SlotClock(2, 3, () => now);
  const [long, short, last] = [0, 1, 2].map(() => Promise.withResolvers<void>());
  const runs = [clock.run(() => long!.promise), clock.run(() => short!.promise)];
  now = 10;
  short!.resolve();
  await runs[1];
  now = 20;
  runs.push(clock.run(() => last!.promise));
  now = 500;
  long!.resolve();
  last!.resolve();
  await Promise.all([...runs, clock.ended()]);
  // 20 of the one and 10 of the other, of 2 slots for 20.
  expect(clock.busy()).toEqual({ jobs: 3, busyShare: 0.75, wallSeconds: 0.02, mostAtOnce: 2 });
});

test.each(SHAPES)("the %s jobs are the same for everyone, and last 100 ms on average", (shape) => {
  const durations = durationsOf(shape, 5_000);
  expect(durationsOf(shape, 5_000)).toEqual(durations);
  expect(Math.abs(mean(durations) - 100)).toBeLessThan(5);
});
