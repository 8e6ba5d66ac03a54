// What the idle table counts.
import { expect, test } from "vitest";
import { type Start, verdictsOf } from "../../bench/idle.ts";
import { meets } from "../../bench/table.ts";

const start = (more: Partial<Start> = {}): Start => ({
  pollSeconds: 0.4,
  pollCpuSeconds: 0.3,
  residentBytes: 100e6,
  idleShare: 0.001,
  ...more,
});
const met = (...starts: Start[]) => verdictsOf(starts).map(({ value, target }) => meets(value, target));

test("one start that other work held up misses no target", () => {
  expect(met(start(), start({ pollSeconds: 2, idleShare: 0.05 }), start())).toEqual([true, true, true]);
});

test.each<[string, Partial<Start>, boolean[]]>([
  ["memory", { residentBytes: 121e6 }, [false, true, true]],
  ["the time to the first poll", { pollSeconds: 0.6 }, [true, false, true]],
  ["CPU time", { idleShare: 0.02 }, [true, true, false]],
])("what every start has too much of misses its target: %s", (_, more, expected) => {
  expect(met(start(more), start(more), start(more))).toEqual(expected);
});

test("memory counts at its most", () => {
  expect(met(start(), start({ residentBytes: 121e6 }), start())[0]).toBe(false);
});
