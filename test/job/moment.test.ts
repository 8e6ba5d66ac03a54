// Points in time as senders of several languages write them.
import { expect, test } from "vitest";
import { Moment, MomentOrUnset } from "../../worker/job/moment.ts";

const read = (value: unknown) => {
  const { data } = Moment.safeParse(value);
  return data === undefined ? null : new Date(data).toISOString();
};

test.each([
  ["JavaScript", "2036-01-01T00:00:00.000Z"],
  ["Java's OffsetDateTime on the minute", "2036-01-01T00:00Z"],
  ["Java's ZonedDateTime", "2036-01-01T09:00+09:00[Asia/Tokyo]"],
  ["Java's Instant", "2036-01-01T00:00:00.000000000Z"],
  ["Go with a zone", "2036-01-01T09:00:00.000000123+09:00"],
  ["Python's isoformat", "2036-01-01T00:00:00+00:00"],
  ["Python's str", "2036-01-01 00:00:00.000123+00:00"],
  ["PHP's ISO8601", "2036-01-01T00:00:00+0000"],
  ["PostgreSQL", "2036-01-01 00:00:00+00"],
  ["Ruby's Time#to_s", "2036-01-01 00:00:00 +0000"],
  ["lower case", "2036-01-01t00:00:00z"],
  ["a comma before the fraction, as in ISO 8601", "2036-01-01T00:00:00,000Z"],
  ["white space around it", " 2036-01-01T00:00:00Z\n"],
  ["Ruby's Time in UTC", "2036-01-01 00:00:00 UTC"],
  ["Go's Time#String", "2036-01-01 00:00:00.000000001 +0000 UTC"],
  ["ISO 8601 without separators", "20360101T090000+0900"],
  ["an HTTP header", "Tue, 01 Jan 2036 00:00:00 GMT"],
  ["a mail", "1 Jan 2036 09:00:00 +0900"],
  ["older .NET", "/Date(2082758400000+0900)/"],
  ["seconds since 1970", 2_082_758_400],
  ["Python's time()", 2_082_758_400.0001],
  ["milliseconds since 1970", 2_082_758_400_000],
  ["seconds since 1970 as a string", "2082758400"],
])("%s", (_, written) => {
  expect(read(written)).toBe("2036-01-01T00:00:00.000Z");
});

test.each([
  ["a word", "tomorrow"],
  ["a day in a header that there is not", "Tue, 42 Jan 2036 00:00:00 GMT"],
  ["a day that there is not", "2036-02-30T00:00Z"],
  ["an hour that there is not", "2036-01-01T25:00Z"],
  ["no offset: it says no point in time", "2036-01-01T00:00:00"],
  ["a day alone", "2036-01-01"],
  ["a number that may be a duration", 600],
  ["a year as a number", 2036],
  ["nanoseconds", 2.08e18],
  ["not a number", Number.NaN],
  ["a list", [2036, 1, 1]],
  ["true", true],
])("%s is refused", (_, written) => {
  expect(read(written)).toBeNull();
});

test.each([
  ["Go's zero time", "0001-01-01T00:00:00Z"],
  [".NET's", "0001-01-01T00:00:00"],
  [".NET's with an offset", "0001-01-01T00:00:00.0000000+00:00"],
  ["0", 0],
  ["nothing", undefined],
])("%s is a time that is not set", (_, written) => {
  expect(MomentOrUnset.safeParse(written)).toEqual({ success: true, data: undefined });
});

test("a time that is set stays", () => {
  expect(MomentOrUnset.parse("0001-01-01T00:00:01Z")).toBe("0001-01-01T00:00:01Z");
  expect(MomentOrUnset.safeParse(1).success).toBe(false);
});
