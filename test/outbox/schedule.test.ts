// When a failed delivery is tried again.
import { expect, test } from "vitest";
import {
  heldUntil,
  isLastTry,
  LONGEST_MS,
  nextTryAt,
  triesByReceives,
} from "../../worker/outbox/schedule.ts";
import fc from "../properties.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

test("a receiver that is down for three days is tried ten times, as Standard Webhooks recommends", () => {
  const moments = [0];
  for (let now: number | null = 0; ; moments.push(now)) {
    now = nextTryAt({ since: 0, tries: moments.length, now, random: () => 0 });
    if (now === null) break;
  }
  expect(moments.map((ms) => ms / 1_000)).toEqual([
    0, 5, 305, 2_105, 9_305, 27_305, 63_305, 113_705, 185_705, 259_200,
  ]);
});

test.each([
  [
    "a longer wait that the receiver asked for is kept",
    { tries: 1, now: 0, retryAfterMs: 20 * MINUTE },
    20 * MINUTE,
  ],
  ["a shorter one than the schedule's is not", { tries: 2, now: 0, retryAfterMs: 1_000 }, 5 * MINUTE],
  ["one past the end is the end", { tries: 1, now: 71 * HOUR, retryAfterMs: 9 * HOUR }, LONGEST_MS],
  [
    "after the end there is no next try, also when the machine slept past it",
    { tries: 2, now: 80 * HOUR },
    null,
  ],
  ["after the last try there is no next one", { tries: 10, now: HOUR }, null],
])("%s", (_, tried, at) => expect(nextTryAt({ since: 0, random: () => 0, ...tried })).toBe(at));

test.each([
  ["at first as soon as its receiver may be tried", { now: 10_000, retryAfterMs: 30_000 }, 40_000],
  ["later more rarely", { now: 50 * HOUR, retryAfterMs: 30_000 }, 55 * HOUR],
  ["at the end, for its last try", { now: 71 * HOUR, retryAfterMs: 30_000 }, LONGEST_MS],
  ["and at once past the end", { now: 73 * HOUR, retryAfterMs: 30_000 }, 73 * HOUR],
])("a delivery that was held back is due again %s", (_, held, at) =>
  expect(heldUntil({ since: 0, random: () => 0, ...held })).toBe(at),
);

test.each([
  ["count as tries", 1, 3, HOUR, 4],
  ["do not use up the schedule", 1, 20, 24 * HOUR, 8],
  ["use it up once its time is over", 1, 20, 72 * HOUR, 21],
])("without a log receives %s", (_, known, receives, now, tries) =>
  expect(triesByReceives(known, receives, { since: 0, now })).toBe(tries),
);

test("another schedule ends with its own last try", () => {
  const round = { since: 0, now: 9, delaysMs: [0, 500], random: () => 0 };
  expect(nextTryAt({ ...round, tries: 1 })).toBe(509);
  expect(isLastTry({ ...round, tries: 1 })).toBe(true);
  expect(nextTryAt({ ...round, tries: 2 })).toBeNull();
});

test.each([
  ["the first", { tries: 0, now: 0 }, false],
  ["the tenth", { tries: 9, now: HOUR }, true],
  ["any at the end of the time", { tries: 3, now: LONGEST_MS }, true],
])("%s is the last try: %s", (_, tried, last) => expect(isLastTry({ since: 0, ...tried })).toBe(last));

test("the next try is never after three days and never in the past", () => {
  const any = fc.record({
    tries: fc.nat(12),
    now: fc.nat(LONGEST_MS * 2),
    retryAfterMs: fc.nat(LONGEST_MS),
    at: fc.double({ min: 0, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(any, ({ at, ...tried }) => {
      const next = nextTryAt({ since: 0, ...tried, random: () => at });
      if (next === null) return;
      expect(next).toBeGreaterThanOrEqual(tried.now);
      expect(next).toBeLessThanOrEqual(LONGEST_MS);
    }),
  );
});
