// Back-pressure: fewer jobs at once while what they need fails, more when it holds again.

import { describe, expect, test } from "vitest";
import {
  afterEnd,
  agree,
  allowed,
  isOverloadError,
  NO_REDUCTION,
  type Reduction,
  withEnd,
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
  ["engine_died", false],
  ["storage_unavailable", true],
  ["delivery_failed", false],
  ["fetch_failed", false],
  ["invalid_input", false],
  [undefined, false],
])("%s counts as overload: %s", (code, expected) => expect(isOverloadError(code)).toBe(expected));

describe("an overload", () => {
  type End = readonly [job: string, isOverload: boolean, at?: number];
  const seen = (ends: readonly End[]) =>
    ends.reduce<ReturnType<typeof withEnd>>(
      (recent, [job, isOverload, at = 0]) => withEnd(recent, { job, isOverload, at }),
      [],
    );
  test.each<[string, End[], boolean]>([
    ["one job that fails is none", [["a", true]], false],
    ["however often it fails", Array.from({ length: 20 }, (): End => ["a", true]), false],
    [
      "two jobs agree",
      [
        ["a", true],
        ["b", true],
      ],
      true,
    ],
    [
      "two of many do not",
      [
        ["a", true],
        ["b", true],
        ["c", false],
        ["d", false],
        ["e", false],
      ],
      false,
    ],
    [
      "half of them do",
      [
        ["a", true],
        ["b", true],
        ["c", false],
        ["d", false],
      ],
      true,
    ],
    [
      "a job that succeeds then is none that fails",
      [
        ["a", true],
        ["b", true],
        ["a", false],
      ],
      false,
    ],
    [
      "what is long ago does not count",
      [
        ["a", true, 0],
        ["b", true, 60_000],
      ],
      false,
    ],
  ])("%s", (_, ends, expected) => expect(agree(seen(ends))).toBe(expected));

  test("is judged by bounded memory, however many jobs end", () => {
    expect(seen(Array.from({ length: 500 }, (_, index): End => [`${index}`, false]))).toHaveLength(64);
  });
});

describe("a job that always fails as if the worker were overloaded", () => {
  test.each([
    ["engine_unavailable", {}],
    ["engine_busy", {}],
    ["storage_unavailable", { detail: { bucket: "kamado" } }],
  ] as const)("with %s costs the others neither slots nor time", async (code, options) => {
    const rig = createRig({ slots: 4, prefetch: 4 });
    await rig.send("bad");
    rig.consumer.start();
    for (let attempt = 0; attempt < 4; attempt++) {
      await rig.clock.advance(60_000);
      rig.run("bad").fail(new KamadoError(code, "500", options));
      await rig.send(`good-${attempt}`);
      await rig.clock.advance(100);
      expect(rig.worker.state().slots).toBe(4);
      expect([rig.health.engine.isHealthy, rig.health.bucket.isHealthy]).toEqual([true, true]);
      rig.run(`good-${attempt}`).finish();
    }
  });

  test("because its own bucket does not answer neither closes the worker's nor costs slots, in any number", async () => {
    const rig = createRig({ slots: 4, prefetch: 0 });
    for (let i = 0; i < 4; i++) await rig.send(`bad-${i}`);
    rig.consumer.start();
    await rig.clock.advance(100);
    const probes = rig.bucket.calls.list;
    const error = () => new KamadoError("storage_unavailable", "503", { detail: { bucket: "other" } });
    for (const run of rig.runs) run.fail(error());
    await rig.clock.advance(100);
    expect(rig.worker.state().slots).toBe(4);
    expect(rig.bucket.calls.list).toBe(probes);
    expect(rig.health.bucket.isHealthy).toBe(true);
  });
});

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
    for (const run of first.slice(0, 2)) run.fail(new KamadoError("engine_busy", "full"));
    for (const run of first.slice(2)) run.finish();
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
