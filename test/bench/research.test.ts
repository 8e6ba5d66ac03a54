// The figures of `bench research`.
import { expect, test } from "vitest";
import { type Sample, speedUpOf } from "../../bench/research.ts";

const sample = (way: Sample["way"], seconds: number, parts = 45): Sample => ({
  ...{
    way,
    seconds,
    engineCpuSeconds: 2 * seconds,
    parts,
    promptTokens: 100,
    cachedTokens: 20,
    completionTokens: 10,
    requests: 45,
  },
});

test("the speed-up is the ratio of the medians", () => {
  const samples = [
    sample("one at a time", 90),
    sample("together", 30),
    sample("together", 40),
    sample("one at a time", 120),
  ];
  expect([speedUpOf(samples, "seconds"), speedUpOf(samples, "engineCpuSeconds")]).toEqual([3, 3]);
});

test("runs in which not every part was asked are not compared", () => {
  expect(speedUpOf([sample("one at a time", 90), sample("together", 30, 44)], "seconds")).toBeNaN();
});
