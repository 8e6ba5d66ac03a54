// Back-pressure: fewer jobs at once while what they need fails, more when it holds again.

import { describe, expect, test } from "vitest";
import {
  afterEnd,
  allowed,
  isOverloadError,
  NO_REDUCTION,
  type Reduction,
} from "../../worker/consumer/concurrency-limit.ts";
import type { ErrorCode } from "../../worker/errors.ts";
import { KamadoError } from "../../worker/errors.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { createRig } from "../rig.ts";

const strained = { isOverload: true, others: 7, slots: 8 };
const good = { isOverload: false, others: 7, slots: 8 };

test.each([
  ["a good end changes nothing", NO_REDUCTION, good, NO_REDUCTION],
  ["the first error halves", NO_REDUCTION, strained, { limit: 4, settling: 7 }],
  [
    "those that began before do not halve again",
    { limit: 4, settling: 7 },
    strained,
    { limit: 4, settling: 6 },
  ],
  ["nor do their good ends give any back", { limit: 4, settling: 1 }, good, { limit: 4, settling: 0 }],
  [
    "a later one halves again",
    { limit: 4, settling: 0 },
    { ...strained, others: 3 },
    { limit: 2, settling: 3 },
  ],
  ["one slot always stays", { limit: 1, settling: 0 }, { ...strained, others: 0 }, { limit: 1, settling: 0 }],
  ["a good end gives a part back", { limit: 4, settling: 0 }, good, { limit: 4.25, settling: 0 }],
  ["until there is no pressure left", { limit: 7.9, settling: 0 }, good, NO_REDUCTION],
  [
    "an engine with fewer slots than the limit",
    { limit: 7, settling: 0 },
    { ...good, slots: 2 },
    NO_REDUCTION,
  ],
])("%s", (_, before: Reduction, end, expected) => expect(afterEnd(before, end)).toEqual(expected));

test("as many good ends as there are slots give one more back", () => {
  const ends = (from: Reduction, count: number) =>
    Array.from({ length: count }).reduce<Reduction>((before) => afterEnd(before, good), from);
  expect(allowed(ends({ limit: 3, settling: 0 }, 2).limit, 8)).toBe(3);
  expect(allowed(ends({ limit: 3, settling: 0 }, 3).limit, 8)).toBe(4);
  expect(ends({ limit: 1, settling: 0 }, 28)).toEqual(NO_REDUCTION);
});

test.each<[ErrorCode | undefined, boolean]>([
  ["engine_unavailable", true],
  ["engine_busy", true],
  ["storage_unavailable", true],
  ["delivery_failed", false],
  ["fetch_failed", false],
  ["invalid_input", false],
  [undefined, false],
])("%s counts as overload: %s", (code, expected) => expect(isOverloadError(code)).toBe(expected));

describe("a worker whose engine is overloaded", () => {
  test("runs fewer jobs at once, logs it, and runs all again when the overload is over", async () => {
    const said: string[] = [];
    const warn = ({ stage }: { stage?: string }, text = "") =>
      void (stage === "concurrency" && said.push(text));
    const log = { ...silentLog, warn };
    const rig = createRig({ slots: 4, prefetch: 0, log: log as unknown as typeof silentLog });
    for (let i = 0; i < 30; i++) await rig.send(`job-${i}`);
    rig.consumer.start();
    await rig.clock.advance(100);
    expect(rig.consumer.running).toBe(4);
    const first = rig.runs.slice();
    first[0]!.fail(new KamadoError("engine_busy", "full"));
    for (const run of first.slice(1)) run.finish();
    await rig.clock.advance(100);
    expect(rig.consumer.running).toBe(2);
    expect(said).toEqual(["fewer jobs at once: 2 of 4"]);
    for (let ended = 4; ended < 12; ended++) {
      rig.runs[ended]!.finish();
      await rig.clock.advance(100);
    }
    expect(rig.consumer.running).toBe(4);
  });
});
