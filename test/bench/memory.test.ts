// What the memory table counts as growth.
import { expect, test } from "vitest";
import { growthOf } from "../../bench/memory.ts";

const tenths = (...values: number[]) => values.map((residentBytes) => ({ residentBytes, failures: 0 }));

test("growth is what was added after the first fifth, as a share of what was there", () => {
  expect(growthOf(tenths(50, 100, 180, 130))).toEqual({ bytes: 30, share: 0.3 });
});

test("no target is met when a request failed", () => {
  const [first, ...rest] = tenths(100, 100, 100);
  expect(growthOf([{ ...first!, failures: 1 }, ...rest]).share).toBeNaN();
});
