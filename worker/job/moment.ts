// A point in time as senders write it. Owns which forms are read; what has no offset is refused, because it says no point in time. Pure.
import { z } from "zod";

/** Date and time as the ISO 8601 of several languages has them: the seconds left out, a space, `+09`, nanoseconds, a zone's name. */
const WRITTEN =
  /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(?:[.,](\d{1,3})\d{0,9})? ?(?:(Z)|([+-]\d\d)(?::?(\d\d))?)(?:\[[^[\]]{1,60}\])*$/i;
/** A number is a time only if it cannot be a duration: seconds from 2001 on, or milliseconds. */
const [FIRST_SECOND, FIRST_MS, LAST_MS] = [1e9, 1e12, 1e14];

function asMoment(value: unknown): unknown {
  const number = typeof value === "string" && /^\d{10,13}(\.\d+)?$/.test(value) ? Number(value) : value;
  if (typeof number === "number" && number >= FIRST_SECOND && number < LAST_MS)
    return new Date(number < FIRST_MS / 10 ? number * 1_000 : number).toISOString();
  const found = typeof value === "string" ? WRITTEN.exec(value.trim()) : null;
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
