// What the table of sampling compares, and which of its rows have a target.
import { expect, test } from "vitest";
import { type SamplingRow, samplingTargets, shareOfGreedy } from "../../bench/sampling.ts";

const row = (more: Partial<SamplingRow>): SamplingRow => ({
  backend: "node-llama-cpp",
  concurrency: 1,
  way: "greedy",
  tokensPerSecond: 50,
  cpuMs: 20,
  ...more,
});

test("a row is compared with greedy text of the same engine and concurrency, by CPU time where it is known", () => {
  const rows = [
    row({}),
    row({ concurrency: 8, cpuMs: 10 }),
    row({ concurrency: 8, way: "JSON", cpuMs: 20 }),
    row({ backend: "llama-server", cpuMs: undefined }),
    row({ backend: "llama-server", way: "JSON", cpuMs: undefined, tokensPerSecond: 20 }),
  ];
  expect(rows.map((one) => shareOfGreedy(one, rows))).toEqual([1, 1, 0.5, 1, 0.4]);
});

test("temperature 0.7 and JSON must reach 0.9 of greedy on node-llama-cpp; the other libraries are only shown", () => {
  const rows = [
    row({}),
    row({ way: "T=0.7", cpuMs: 22 }),
    row({ way: "JSON", cpuMs: 25 }),
    row({ way: "T=1", cpuMs: 40 }),
    row({ backend: "llama-node" }),
    row({ backend: "llama-node", way: "JSON", cpuMs: 80 }),
  ];
  expect(samplingTargets(rows)).toEqual({ met: 1, of: 2 });
});

test("a row with a failed answer does not meet its target", () => {
  expect(samplingTargets([row({}), row({ way: "JSON", cpuMs: Number.NaN })])).toEqual({ met: 0, of: 1 });
});
