import { expect, test } from "vitest";
import { MemoryBudget } from "../../../worker/engine/server/memory-budget.ts";
import fc from "../../properties.ts";

const MIB = 1024 * 1024;

test("a request that needs more than is left is refused, and keeps what it has", () => {
  const budget = new MemoryBudget({ small: MIB, large: 2 * MIB });
  const [one, other] = [budget.hold(), budget.hold()];
  one.add(2 * MIB);
  expect(() => other.keep(MIB / 2)).toThrow(expect.objectContaining({ code: "engine_busy", status: 429 }));
  expect(() => one.add(2 * MIB)).toThrow("Requests in flight hold 2 MiB of at most 3 MiB");
  expect(budget.bytes).toBe(2 * MIB);
  one.release();
  one.release();
  one.add(5);
  other.keep(MIB / 2);
  expect(budget.bytes).toBe(MIB / 2);
});

test("a few large requests leave room for many small ones", () => {
  const budget = new MemoryBudget({ small: 8 * MIB, large: 4 * MIB });
  budget.hold().keep(5 * MIB);
  expect(() => budget.hold().keep(2 * MIB)).toThrow();
  for (let nth = 0; nth < 7; nth++) budget.hold().keep(MIB);
  expect(budget.bytes).toBe(12 * MIB);
});

test("whatever requests do, together they hold no more than the limit, and nothing in the end", () => {
  const step = fc.record({
    who: fc.nat(4),
    bytes: fc.nat(4 * MIB),
    how: fc.constantFrom("keep", "add", "release"),
  });
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const budget = new MemoryBudget({ small: 2 * MIB, large: 3 * MIB });
      const holds = Array.from({ length: 5 }, () => budget.hold());
      for (const { who, bytes, how } of steps) {
        try {
          holds[who]![how as "keep"](bytes);
        } catch {}
        expect(budget.bytes).toBeLessThanOrEqual(5 * MIB);
      }
      for (const hold of holds) hold.release();
      expect(budget.bytes).toBe(0);
    }),
  );
});
