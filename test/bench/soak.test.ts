// What the soak table counts as growth.
import { describe, expect, test } from "vitest";
import { type SoakTenth, verdictsOf } from "../../bench/soak.ts";
import { meets } from "../../bench/table.ts";

describe("a worker", () => {
  const tenth = (more: Partial<SoakTenth>): SoakTenth => ({
    jobs: 100,
    residentBytes: 100e6,
    handles: 30,
    descriptors: 70,
    jobsPerSecond: 10,
    workerCpuPerJob: 0.01,
    ...more,
  });
  const met = (...tenths: SoakTenth[]) => verdictsOf(tenths).map(({ value, target }) => meets(value, target));

  test("does not grow when connections only open and close", () => {
    expect(met(tenth({ handles: 20 }), tenth({ handles: 36 }), tenth({}), tenth({ handles: 31 }))).toEqual([
      true,
      true,
      true,
      true,
    ]);
  });

  test.each([
    ["memory at its peak", { residentBytes: 121e6 }, {}, 0],
    ["memory over time", {}, { residentBytes: 109e6 }, 1],
    ["handles", {}, { handles: 39 }, 2],
    ["descriptors", {}, { descriptors: 79 }, 3],
  ])("misses the target of what grows: %s", (_, before, after, place) => {
    expect(met(tenth({}), tenth(before), tenth({}), tenth(after))[place]).toBe(false);
  });

  test("has no verdict on descriptors where the system does not show them", () => {
    const none = tenth({ descriptors: undefined });
    expect(met(none, none)).toHaveLength(3);
  });
});
