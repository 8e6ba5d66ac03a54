// Which limits of a day count for a job, when one is used up, and when the day ends.
import { describe, expect, test } from "vitest";
import {
  type DayBudgets,
  dayOf,
  endOfDay,
  limitsFor,
  spentBudget,
  type Used,
} from "../../worker/tenants/day-budgets.ts";

const budgets: DayBudgets = {
  all: { seconds: 50_000 },
  tenants: {
    acme: { jobs: 100, kinds: { "image.check": { seconds: 60 }, "*": { tokens: 7 } } },
    "*": { jobs: 10 },
  },
  kinds: { "image.check": { tokens: 1_000 } },
};

describe("what counts for a job", () => {
  test.each([
    ["acme", "image.check", ["tenant acme, kind image.check", "tenant acme", "kind image.check", "all jobs"]],
    ["acme", "prompt", ["tenant acme, kind prompt", "tenant acme", "all jobs"]],
    ["other", "prompt", ["tenant other", "all jobs"]],
    [null, "prompt", ["jobs without a tenant", "all jobs"]],
    ["constructor", "__proto__", ["tenant constructor", "all jobs"]],
  ])("of the tenant %s and the kind %s", (tenant, kind, expected) => {
    expect(limitsFor({ tenant, kind }, budgets).map(({ of }) => of)).toEqual(expected);
  });

  test("`*` is a limit for each tenant of its own, and none for all of them together", () => {
    expect(limitsFor({ tenant: "other", kind: "prompt" }, budgets)[0]?.use).toEqual({ tenant: "other" });
  });

  test("nothing, where nothing is set", () => {
    expect(limitsFor({ tenant: "acme", kind: "prompt" }, {})).toEqual([]);
  });
});

const NOON = new Date(2026, 10, 29, 12).getTime();
const used = (more: Partial<Used>) => () => ({ jobs: 0, tokens: 0, seconds: 0, ...more });
const ask = (more: Partial<Used>, counted = false) =>
  spentBudget(
    { tenant: "acme", kind: "prompt" },
    { tenants: { acme: { jobs: 3, tokens: 100, seconds: 9.5 } } },
    used(more),
    {
      wall: NOON,
      counted,
    },
  );

test.each([
  ["jobs", { jobs: 3 }, "3 of 3 jobs"],
  ["tokens", { tokens: 120 }, "120 of 100 tokens"],
  ["seconds", { seconds: 9.5 }, "10 of 9.5 seconds"],
])(
  "when its %s are used up, the error says what was used, the limit, and when the day ends",
  (_, more, text) => {
    const error = ask(more)!;
    expect(error.code).toBe("budget_exceeded");
    expect(error.message).toContain("tenant acme");
    expect(error.message).toContain(text);
    expect(error.message).toContain(error.detail?.retryAt);
    expect(Date.parse(error.detail!.retryAt!)).toBe(new Date(2026, 10, 30).getTime());
    expect(error.retry).toBe(false);
  },
);

test("as long as something is left, a job may start", () => {
  expect(ask({ jobs: 2, tokens: 99, seconds: 9 })).toBeNull();
});

test("a job that was counted before is not refused for its own place", () => {
  expect(ask({ jobs: 3 }, true)).toBeNull();
  expect(ask({ tokens: 100 }, true)?.code).toBe("budget_exceeded");
});

test("a day is the worker's own: it ends at its midnight, however long it was", () => {
  for (let month = 0; month < 12; month++)
    for (let date = 1; date <= 28; date++) {
      const end = endOfDay(new Date(2026, month, date, 13, 5).getTime());
      expect(new Date(end).getHours()).toBe(0);
      expect(dayOf(end)).not.toBe(dayOf(end - 1));
      expect(dayOf(end - 1)).toBe(dayOf(new Date(2026, month, date, 1).getTime()));
    }
});
