// When nothing is pulled although everything answers.
import { expect, test } from "vitest";
import { loadConfig } from "../../worker/config/config.ts";
import { decide, figuresFor, type PolicySettings, type Seen } from "../../worker/power/policies.ts";
import type { Reading } from "../../worker/power/reading.ts";

const NONE: PolicySettings = { quietHours: [], yieldIdleSeconds: 0, maxTemperature: undefined };
const readingOf = (figures: Partial<Reading>): Reading => ({ at: 0, absent: {}, ...figures });
const NOON = Date.UTC(2026, 0, 1, 12);

/** The policy that pauses at each of these moments (seconds, reading). */
function course(settings: Partial<PolicySettings>, ...steps: [number, Partial<Reading>][]) {
  let seen: Seen = {};
  return steps.map(([at, figures]) => {
    const decision = decide(
      { ...NONE, ...settings },
      { reading: readingOf(figures), now: at * 1_000, wall: NOON + at * 1_000, zone: "UTC" },
      seen,
    );
    seen = decision.seen;
    return decision.pause?.policy ?? null;
  });
}

test("while somebody uses the machine nothing is pulled, until it was idle for as long as set", () => {
  const states = course(
    { yieldIdleSeconds: 300 },
    [0, { idleSeconds: 4_000 }],
    [10, { idleSeconds: 2 }],
    [20, { idleSeconds: 12 }],
    [300, { idleSeconds: 292 }],
    [310, { idleSeconds: 302 }],
  );
  expect(states).toEqual([null, "in_use", "in_use", "in_use", null]);
});

test("a temperature that moves around the limit pauses once: it must stay below for a minute", () => {
  const states = course(
    { maxTemperature: 85 },
    [0, { temperature: 84 }],
    [10, { temperature: 85 }],
    [20, { temperature: 80 }],
    [30, { temperature: 86 }],
    [80, { temperature: 70 }],
    [90, { temperature: 70 }],
  );
  expect(states).toEqual([null, "temperature", "temperature", "temperature", "temperature", null]);
});

test.each([
  ["fair", "nominal", null],
  ["fair", "fair", "temperature"],
  ["serious", "fair", null],
  ["serious", "critical", "temperature"],
] as const)("from %s on: %s gives %s", (maxTemperature, thermalState, policy) => {
  expect(course({ maxTemperature }, [0, { thermalState }])).toEqual([policy]);
});

test("a figure that cannot be had any more ends its pause, and one that never could begins none", () => {
  expect(course({ maxTemperature: 85 }, [0, { temperature: 99 }], [30, {}], [61, {}])).toEqual([
    "temperature",
    "temperature",
    null,
  ]);
  expect(course({ yieldIdleSeconds: 60 }, [0, { idleSeconds: 0 }], [30, {}], [61, {}])).toEqual([
    "in_use",
    "in_use",
    null,
  ]);
  expect(course({ maxTemperature: "fair", yieldIdleSeconds: 60 }, [0, {}])).toEqual([null]);
});

test("a policy whose figure cannot be had is named with the reason", () => {
  const reading = readingOf({ absent: { temperature: "macOS gives none" } });
  const { ineffective } = decide({ ...NONE, maxTemperature: 85 }, { reading, now: 0, wall: NOON }, {});
  expect(ineffective).toEqual([{ setting: "KAMADO_MAX_TEMPERATURE", reason: "macOS gives none" }]);
});

test("quiet hours go before the others, with the time at which they end", () => {
  const { pause } = decide(
    { quietHours: [{ from: 660, to: 780 }], yieldIdleSeconds: 60, maxTemperature: 50 },
    { reading: readingOf({ idleSeconds: 0, temperature: 90 }), now: 0, wall: NOON, zone: "UTC" },
    {},
  );
  expect(pause).toEqual({ policy: "quiet_hours", reason: "quiet hours", until: NOON + 3_600_000 });
});

test("only the figures that a policy needs are read", () => {
  expect(figuresFor(NONE)).toEqual([]);
  expect(figuresFor({ ...NONE, yieldIdleSeconds: 5, maxTemperature: 80 })).toEqual([
    "idleSeconds",
    "temperature",
  ]);
  expect(figuresFor({ ...NONE, maxTemperature: "serious" })).toEqual(["thermalState"]);
});

test.each([
  ["85", 85],
  ["serious", "serious"],
])("KAMADO_MAX_TEMPERATURE=%s", (text, maxTemperature) => {
  expect(loadConfig({}, { KAMADO_MAX_TEMPERATURE: text }).power).toMatchObject({ maxTemperature });
});

test.each(["hot", "20", "nominal", "85.5"])("KAMADO_MAX_TEMPERATURE=%s is refused", (text) => {
  expect(() => loadConfig({}, { KAMADO_MAX_TEMPERATURE: text })).toThrow(
    "KAMADO_MAX_TEMPERATURE: must be degrees Celsius from 30 to 120, or one of fair, serious, critical",
  );
});
