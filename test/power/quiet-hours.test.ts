// Quiet hours by the clock on the wall, also in the nights in which it is changed.
import { describe, expect, test } from "vitest";
import { loadConfig } from "../../worker/config/config.ts";
import { quietUntil, wordsOf } from "../../worker/power/quiet-hours.ts";

const ranges = (text: string) => loadConfig({}, { KAMADO_QUIET_HOURS: text }).power.quietHours;
const until = (text: string, at: string, zone: string) => {
  const end = quietUntil(ranges(text), Date.parse(at), zone);
  return end === undefined ? "not quiet" : new Date(end).toISOString();
};

test.each([
  ["2026-01-10T13:59:59Z", "not quiet"],
  ["2026-01-10T14:00:00Z", "2026-01-10T22:00:00.000Z"],
  ["2026-01-10T21:59:59Z", "2026-01-10T22:00:00.000Z"],
  ["2026-01-10T22:00:00Z", "not quiet"],
  ["2026-01-11T03:30:20Z", "2026-01-11T04:00:00.000Z"],
])("23:00-07:00 and 12:30-13:00 in Tokyo: at %s quiet until %s", (at, end) => {
  expect(until("23:00-07:00,12:30-13:00", at, "Asia/Tokyo")).toBe(end);
});

test("ranges that touch or overlap are one pause", () => {
  expect(until("22-23, 23:00-01:00, 0:30-02:00", "2026-01-10T22:10:00Z", "UTC")).toBe(
    "2026-01-11T02:00:00.000Z",
  );
});

describe("when the clocks change (Berlin)", () => {
  test("an hour that is left out is not waited for", () => {
    // 02:00 becomes 03:00 at 01:00 UTC.
    expect(until("23:00-02:30", "2026-03-28T23:00:00Z", "Europe/Berlin")).toBe("2026-03-29T01:00:00.000Z");
    expect(until("02:10-02:50", "2026-03-29T00:59:00Z", "Europe/Berlin")).toBe("not quiet");
    expect(until("02:10-02:50", "2026-03-29T01:00:00Z", "Europe/Berlin")).toBe("not quiet");
    expect(until("23:00-07:00", "2026-03-28T23:00:00Z", "Europe/Berlin")).toBe("2026-03-29T05:00:00.000Z");
  });

  test("an hour that comes twice is quiet twice, and the night is an hour longer", () => {
    // 03:00 becomes 02:00 at 01:00 UTC.
    expect(until("23:00-07:00", "2026-10-24T21:00:00Z", "Europe/Berlin")).toBe("2026-10-25T06:00:00.000Z");
    expect(until("02:10-02:50", "2026-10-25T00:10:00Z", "Europe/Berlin")).toBe("2026-10-25T00:50:00.000Z");
    expect(until("02:10-02:50", "2026-10-25T01:10:00Z", "Europe/Berlin")).toBe("2026-10-25T01:50:00.000Z");
  });
});

test.each([
  ["23:00-07:00", ["23:00-07:00"]],
  ["23-7", ["23:00-07:00"]],
  ["0:00 – 6:30, 22:00-24:00", ["00:00-06:30", "22:00-24:00"]],
  ["", []],
])("%j is read as %j", (text, words) => {
  expect(ranges(text).map(wordsOf)).toEqual(words);
});

test.each(["23:00", "25:00-07:00", "23:60-07:00", "07:00-07:00", "night", "24:00-07:00", "00:00-24:00"])(
  "%j is refused with what is allowed",
  (text) => {
    expect(() => ranges(text)).toThrow("KAMADO_QUIET_HOURS: must be like 23:00-07:00");
  },
);

test("ranges that leave no minute of the day are refused: no job would ever run", () => {
  expect(() => ranges("00:00-12:00,12:00-24:00")).toThrow("leaves no minute of the day");
});
