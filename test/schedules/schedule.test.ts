// What a cron expression means: which times, also where clocks change, and what is wrong with one.
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { JobId } from "../../worker/job/envelope.ts";
import { defineHandler } from "../../worker/job/handler.ts";
import { jobIdAt, latestTime, nextTime, readSchedule } from "../../worker/schedules/schedule.ts";

const say = defineHandler({
  kind: "say",
  summary: "Says it.",
  input: z.strictObject({ text: z.string() }),
  output: z.strictObject({}),
  run: async () => ({}),
});
const registry = new Map([["say", say]]) as never;

/** The next `count` times after `from`. */
function times(cron: string, timezone: string, from: string, count: number): string[] {
  const all: string[] = [];
  for (let at = Date.parse(from); all.length < count; ) {
    at = nextTime({ cron, timezone }, at)!;
    all.push(new Date(at).toISOString().slice(0, 16));
  }
  return all;
}

describe("where clocks change", () => {
  test("a time that is left out runs right after the gap, once", () => {
    expect(times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00Z", 3)).toEqual([
      "2026-03-28T01:30",
      "2026-03-29T01:00",
      "2026-03-30T00:30",
    ]);
  });

  test.each(["30 2 * * *", "30 2,14 * * *"])("%s, a time that comes twice, runs once", (cron) => {
    const night = times(cron, "Europe/Berlin", "2026-10-24T13:00Z", 3).filter(
      (at) => at < "2026-10-25T10:00",
    );
    expect(night).toEqual(["2026-10-25T00:30"]);
  });

  test("what runs every ten minutes goes on every ten minutes", () => {
    const all = times("*/10 * * * *", "Europe/Berlin", "2026-10-25T00:25Z", 12).map((at) =>
      Date.parse(`${at}Z`),
    );
    expect(new Set(all.slice(1).map((at, index) => at - all[index]!))).toEqual(new Set([600_000]));
  });

  test("a morning is that of its time zone", () => {
    expect(times("0 7 * * *", "Asia/Tokyo", "2026-11-29T00:00Z", 1)).toEqual(["2026-11-29T22:00"]);
    expect(times("0 7 * * *", "America/New_York", "2026-11-29T00:00Z", 1)).toEqual(["2026-11-29T12:00"]);
  });
});

test.each([
  ["2026-11-29T10:00:00.000Z", "2026-11-29T10:00:00.000Z"],
  ["2026-11-29T10:00:00.400Z", "2026-11-29T10:00:00.000Z"],
  ["2026-11-29T09:59:59.999Z", "2026-11-29T09:50:00.000Z"],
  ["2026-11-29T10:09:59.999Z", "2026-11-29T10:00:00.000Z"],
])("the latest time at %s is %s", (now, latest) => {
  const at = latestTime({ cron: "*/10 * * * *", timezone: "UTC" }, Date.parse(now));
  expect(new Date(at!).toISOString()).toBe(latest);
});

test("its jobs have an id of name and time that is one", () => {
  const id = jobIdAt("front-door", Date.parse("2026-11-29T10:00Z"));
  expect(id).toBe("front-door-2026-11-29T10:00Z");
  expect(JobId.safeParse(jobIdAt("x".repeat(64), 0)).success).toBe(true);
});

const written = { name: "door", cron: "@daily", kind: "say", input: { text: "hello" } };

test("what is not written has its default", () => {
  expect(readSchedule(written, registry)).toEqual({
    schedule: { ...written, deliver: [], policy: {}, catchUp: true, enabled: true },
  });
});

test.each([
  [
    "a name that no job's id could begin with",
    { name: "front door" },
    "name",
    "name: expected 1 to 64 letters",
  ],
  ["seconds", { cron: "* * * * * *" }, "cron", "cron: expected five fields"],
  ["words", { cron: "every morning" }, "cron", "cron: expected five fields"],
  ["a moment", { cron: "2026-12-01T10:00:00" }, "cron", "cron: expected five fields"],
  ["a start", { cron: "@reboot" }, "cron", "cron: expected five fields"],
  ["a minute that there is not", { cron: "61 * * * *" }, "cron", "cron: Invalid value for minute: 61"],
  ["a day that never comes", { cron: "0 0 30 2 *" }, "cron", "cron: there is no such day"],
  [
    "a place that there is not",
    { timezone: "Mars/Base" },
    "timezone",
    "timezone: there is no such time zone",
  ],
  ["a kind that there is not", { kind: "sya" }, "kind", 'kind: there is no "sya"; did you mean say?'],
  ["what its kind does not take", { input: { texts: "x" } }, "input", "input, as say reads it: text:"],
  ["no input where its kind needs one", { input: undefined }, "input", "input, as say reads it: text:"],
  ["a moment at which it is over", { policy: { expiresAt: "2026-12-01" } }, "policy", "expiresAt"],
  ["a field that there is not", { crom: "x" }, "crom", "did you mean cron?"],
])("%s is refused with what is allowed", (_, change, field, words) => {
  expect(readSchedule({ ...written, ...change }, registry)).toEqual({
    problem: expect.stringContaining(words),
    field,
  });
});
