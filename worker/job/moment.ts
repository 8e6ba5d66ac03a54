// A point in time as senders write it. Owns which forms are read; what has no offset is refused, because it says no point in time. Pure.
import { z } from "zod";

/** Date and time as the ISO 8601 of several languages has them: the seconds left out, a space, `+09`, nanoseconds, a zone's name. */
const WRITTEN =
  /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,3})\d{0,9})? ?(?:(Z|UTC|GMT)|([+-]\d\d)(?::?(\d\d))?)(?: [A-Z]{3,5})?(?:\[[^[\]]{1,60}\])*$/i;
/** ISO 8601 without separators: 20360101T090000Z. */
const BASIC = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)?(Z|[+-]\d\d(?::?\d\d)?)$/i;
/** As in HTTP headers and mails: Tue, 01 Jan 2036 00:00:00 GMT. */
const HEADER = /^(?:[A-Z][a-z]{2}, )?\d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d(?::\d\d)? (?:GMT|UTC|[+-]\d{4})$/;
/** Older .NET: milliseconds since 1970; the offset in it only says where it was written. */
const DOT_NET = /^\/Date\((\d{12,14})(?:[+-]\d{4})?\)\/$/;
/** A number is a time only if it cannot be a duration: seconds from 2001 on, or milliseconds. */
const [FIRST_SECOND, FIRST_MS, LAST_MS] = [1e9, 1e12, 1e14];

function asMoment(value: unknown): unknown {
  const number = typeof value === "string" && /^\d{10,13}(\.\d+)?$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && number >= FIRST_SECOND && number < LAST_MS)
    return new Date(number < FIRST_MS / 10 ? number * 1_000 : number).toISOString();
  if (typeof value !== "string") return value;
  const text = value.trim();
  const ms = Number(DOT_NET.exec(text)?.[1] ?? (HEADER.test(text) ? Date.parse(text) : Number.NaN));
  if (!Number.isNaN(ms)) return new Date(ms).toISOString();
  const found = WRITTEN.exec(
    text.replace(BASIC, (_, y, m, d, h, min, s = "00", z) => `${y}-${m}-${d}T${h}:${min}:${s}${z}`),
  );
  if (!found) return value;
  const [, day, minute, second = ":00", fraction, z, hours, minutes = "00"] = found;
  const end = z === undefined ? `${hours}:${minutes}` : "Z";
  return `${day}T${minute}${second}${fraction === undefined ? "" : `.${fraction}`}${end}`;
}

/** Read as ISO 8601 with Z or an offset. */
export const Moment = z.preprocess(
  asMoment,
  z.iso.datetime({
    offset: true,
    error: "expected a date and time with Z or an offset, such as 2036-01-01T09:00:00+09:00",
  }),
);

/** Go and .NET write the year 1 for a time that is not set, and 0 stands for none as a number. */
const UNSET = /^0001-01-01[T ]00:00:00(\.0+)?(Z|[+-]00:?00)?$/;
const isUnset = (value: unknown) => value === 0 || (typeof value === "string" && UNSET.test(value.trim()));

export const MomentOrUnset = z
  .preprocess((value) => (isUnset(value) ? undefined : value), Moment.optional())
  .optional();
