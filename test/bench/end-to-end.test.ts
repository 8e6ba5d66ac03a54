// The ratio that the end-to-end table shows.
import { expect, test } from "vitest";
import { throughputRatio } from "../../bench/end-to-end.ts";

test("the ratio compares the median of the worker's runs with that of the bare engine's", () => {
  const run = (who: "bare" | "worker", wallSeconds: number) => ({ who, wallSeconds, jobs: 100 });
  const runs = [run("bare", 10), run("worker", 12.5), run("worker", 12.5), run("bare", 10), run("bare", 50)];
  expect(throughputRatio(runs)).toBeCloseTo(0.8);
});
