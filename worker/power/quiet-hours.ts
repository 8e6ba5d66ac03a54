// Hours of the day in which no job is pulled, by the clock on the wall. Each moment is looked at by its own local time, so a night in which
// the clocks change needs no rule: an hour that is left out is not quiet, and one that comes twice is quiet twice. Pure.

/** Minutes since midnight; `to` is not in it. A range that ends before it begins goes over midnight. */
export type QuietRange = { from: number; to: number };

const MINUTE_MS = 60_000;
const DAY_MINUTES = 1_440;

const isIn = (minute: number, { from, to }: QuietRange) =>
  from < to ? minute >= from && minute < to : minute >= from || minute < to;

/** Whether no minute of the day is left. */
export const coverAll = (ranges: readonly QuietRange[]): boolean =>
  Array.from({ length: DAY_MINUTES }, (_, minute) => minute).every((minute) =>
    ranges.some((range) => isIn(minute, range)),
  );

/** When the quiet hours end that hold the moment `wall`; undefined when it is in none. `zone`: of the clock on the wall [the system's]. */
export function quietUntil(ranges: readonly QuietRange[], wall: number, zone?: string): number | undefined {
  const minuteOf = localMinutes(zone);
  const isQuiet = (at: number) => ranges.some((range) => isIn(minuteOf(at), range));
  if (!isQuiet(wall)) return undefined;
  let end = Math.floor(wall / MINUTE_MS) * MINUTE_MS + MINUTE_MS;
  // A day may have 25 hours.
  const latest = wall + 26 * 60 * MINUTE_MS;
  while (isQuiet(end) && end < latest) end += MINUTE_MS;
  return end;
}

const formats = new Map<string | undefined, Intl.DateTimeFormat>();

function localMinutes(zone: string | undefined): (at: number) => number {
  if (zone === undefined) return (at) => new Date(at).getHours() * 60 + new Date(at).getMinutes();
  const format =
    formats.get(zone) ??
    new Intl.DateTimeFormat("en-GB", {
      timeZone: zone,
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
  formats.set(zone, format);
  return (at) => {
    const [hours, minutes] = format.format(at).split(":");
    return Number(hours) * 60 + Number(minutes);
  };
}

/** `23:00-07:00`. */
export const wordsOf = ({ from, to }: QuietRange): string => `${clockOf(from)}-${clockOf(to)}`;

const clockOf = (minutes: number) =>
  `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
