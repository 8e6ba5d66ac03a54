// When no job is pulled although everything answers: quiet hours, somebody uses the machine, it is too hot. Decides from the clocks and a
// reading; when they are looked at is in pulling-pause.ts. Pure.
import { type QuietRange, quietUntil } from "./quiet-hours.ts";
import { type Figure, type Reading, THERMAL_STATES, type ThermalState } from "./reading.ts";

export type PolicySettings = {
  quietHours: readonly QuietRange[];
  /** Nothing is pulled until nobody has used the machine for so long; 0: it does not matter. */
  yieldIdleSeconds: number;
  /** Degrees Celsius, or the thermal state, from which on nothing is pulled. */
  maxTemperature: number | Exclude<ThermalState, "nominal"> | undefined;
};

export type Pause = {
  policy: "quiet_hours" | "temperature" | "in_use";
  reason: string;
  /** Epoch milliseconds, where it is known. */
  until?: number;
};

/** A policy that has no effect, because the figure that it needs cannot be had. */
export type Ineffective = { setting: string; reason: string };

/** What was seen last, on the monotonic clock. A pause follows from it, so a figure that cannot be had any more ends its pause. */
export type Seen = { usedAt?: number; hotAt?: number };

export type Decision = { pause: Pause | null; seen: Seen; ineffective: Ineffective[] };

/** A machine at the limit is a little below and a little above it in turns. It counts as hot for so long after it was hot. */
const HOT_MS = 60_000;

/** The figures that these policies need. */
export function figuresFor({ yieldIdleSeconds, maxTemperature }: PolicySettings): Figure[] {
  return [
    ...(yieldIdleSeconds > 0 ? (["idleSeconds"] satisfies Figure[]) : []),
    ...(maxTemperature === undefined ? [] : [heatFigure(maxTemperature)]),
  ];
}

const heatFigure = (max: number | ThermalState): Figure =>
  typeof max === "number" ? "temperature" : "thermalState";

export function decide(
  settings: PolicySettings,
  { reading, now, wall, zone }: { reading: Reading | null; now: number; wall: number; zone?: string },
  before: Seen,
): Decision {
  const { quietHours, yieldIdleSeconds, maxTemperature } = settings;
  const idle = reading?.idleSeconds;
  const seen: Seen = {
    ...before,
    ...(idle !== undefined && { usedAt: now - idle * 1_000 }),
    ...(isHot(reading, maxTemperature) && { hotAt: now }),
  };
  const until = quietUntil(quietHours, wall, zone);
  const isCooling = seen.hotAt !== undefined && now - seen.hotAt < HOT_MS;
  const isUsed = seen.usedAt !== undefined && now - seen.usedAt < yieldIdleSeconds * 1_000;
  const pause: Pause | null =
    until !== undefined
      ? { policy: "quiet_hours", reason: "quiet hours", until }
      : isCooling
        ? { policy: "temperature", reason: `the machine is too hot (${limitWords(maxTemperature!)})` }
        : isUsed
          ? {
              policy: "in_use",
              reason: `somebody uses the machine (it must be idle for ${yieldIdleSeconds} s)`,
            }
          : null;
  return { pause, seen, ineffective: ineffectiveOf(settings, reading) };
}

const limitWords = (max: number | ThermalState) =>
  typeof max === "number" ? `from ${max} °C on` : `from ${max} on`;

function isHot(reading: Reading | null, max: PolicySettings["maxTemperature"]): boolean {
  if (reading === null || max === undefined) return false;
  if (typeof max === "number") return (reading.temperature ?? Number.NEGATIVE_INFINITY) >= max;
  return reading.thermalState !== undefined && rank(reading.thermalState) >= rank(max);
}

const rank = (state: ThermalState) => THERMAL_STATES.indexOf(state);

function ineffectiveOf(
  { yieldIdleSeconds, maxTemperature }: PolicySettings,
  reading: Reading | null,
): Ineffective[] {
  if (reading === null) return [];
  const missing = (setting: string, figure: Figure) =>
    reading[figure] === undefined ? [{ setting, reason: reading.absent[figure] ?? "it is not known" }] : [];
  return [
    ...(yieldIdleSeconds > 0 ? missing("KAMADO_YIELD_IDLE_SECONDS", "idleSeconds") : []),
    ...(maxTemperature === undefined ? [] : missing("KAMADO_MAX_TEMPERATURE", heatFigure(maxTemperature))),
  ];
}
