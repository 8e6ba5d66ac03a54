// Wrong tokens are bounded: for one address, for all together, and in what is remembered of them.
import { expect, test } from "vitest";
import { Attempts } from "../../worker/access/attempts.ts";
import { FakeClock } from "../fakes/clock.ts";
import fc from "../properties.ts";

const LIMITS = { perAddress: 3, overall: 8, windowMs: 60_000 };
const failed = (attempts: Attempts, address: string, times: number) => {
  for (let n = 0; n < times; n++) attempts.failed(address);
};

test("one address waits until its time is over, and others do not", async () => {
  const clock = new FakeClock();
  const attempts = new Attempts(LIMITS, clock);
  failed(attempts, "a", 2);
  expect(attempts.waitMs("a")).toBe(0);
  await clock.advance(20_000);
  failed(attempts, "a", 1);
  expect([attempts.waitMs("a"), attempts.waitMs("b")]).toEqual([40_000, 0]);
  await clock.advance(40_000);
  expect(attempts.waitMs("a")).toBe(0);
  failed(attempts, "a", 1);
  expect(attempts.waitMs("a")).toBe(0);
});

test("however many addresses somebody has, so many attempts may be made and no more", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 5_000 }).map(String), { maxLength: 3_000 }),
      (addresses) => {
        const attempts = new Attempts(LIMITS, new FakeClock());
        const made = addresses.filter((address) => {
          if (attempts.waitMs(address) > 0) return false;
          attempts.failed(address);
          return true;
        });
        expect(made.length).toBeLessThanOrEqual(LIMITS.overall);
        for (const one of new Set(made))
          expect(made.filter((other) => other === one).length).toBeLessThanOrEqual(LIMITS.perAddress);
      },
    ),
    { numRuns: 30 },
  );
});
