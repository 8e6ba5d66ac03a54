// What the utilisation table counts as busy, and that all consumers get the same jobs and slots.
import { expect, test } from "vitest";
import { mean, sum } from "../../bench/figures.ts";
import { durationsOf, medianRun, type Run, SHAPES, SlotClock } from "../../bench/utilisation.ts";
import { consumersFor, nameOf } from "../../bench/utilisation-ways.ts";

test("slots are busy while jobs run, from the first start to the last start", async () => {
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
  // One slot is busy for 20 and the other for 10, of 20 each.
  expect(clock.busy()).toEqual({ jobs: 3, busyShare: 0.75, wallSeconds: 0.02, mostAtOnce: 2 });
});

test.each(SHAPES)("the %s jobs are the same for all consumers, and take 100 ms on average", (shape) => {
  const durations = durationsOf(shape, 5_000);
  expect(durationsOf(shape, 5_000)).toEqual(durations);
  expect(Math.abs(mean(durations) - 100)).toBeLessThan(5);
});

test.each([
  [16, 1, "sqs-consumer 16 x 1"],
  [16, 8, "sqs-consumer 2 x 8"],
  [12, 8, "sqs-consumer 8 + 4"],
  [3, 8, "sqs-consumer 1 x 3"],
])("%i slots in batches of %i are filled by %s", (slots, batch, name) => {
  expect(sum(consumersFor(slots, batch))).toBe(slots);
  expect(nameOf(consumersFor(slots, batch))).toBe(name);
});

test("several runs of one consumer become their medians", () => {
  const run = (busyShare: number, callsPerJob: number): Run => ({
    who: "kamado",
    shape: "bimodal",
    roundTripMs: 1,
    jobs: 10,
    wallSeconds: 1,
    mostAtOnce: 4,
    busyShare,
    callsPerJob,
  });
  expect(medianRun([run(0.9, 0.3), run(0.5, 0.5), run(0.8, 0.4)])).toEqual(run(0.8, 0.4));
});
