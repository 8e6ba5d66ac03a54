// What the prefix-files table compares, and when it shows no ratio.
import { describe, expect, test } from "vitest";
import { failureLines, prefixTable, type Row, ratioOf, type Sample } from "../../bench/prefix-files.ts";

const sample = (more: Partial<Sample> = {}): Sample => ({
  requests: 8,
  failures: 0,
  uneven: 0,
  wallSeconds: 2,
  endToEndMs: { mean: 1_000, p50: 1_000, p95: 2_000, p99: 2_000 },
  ttftMs: 40,
  tpotMs: 5,
  promptTokensPerSecond: 1_000,
  completionTokensPerSecond: 100,
  cachedShare: 0,
  cpuSecondsPerJob: 0.8,
  ...more,
});
const row = (more: Partial<Sample> = {}): Row => ({
  concurrency: 8,
  wave: "after a kill",
  with: sample({ cpuSecondsPerJob: 0.4, cachedShare: 0.833, ...more }),
  without: sample(),
});

describe("prefix files and slot choice beside none", () => {
  test("are shown with both costs, their ratio and what was cached", () => {
    const [, line] = prefixTable([row()]).split("\n");
    expect(line!.trim().split(/\s{2,}/)).toEqual([
      "8",
      "after a kill",
      "0.400",
      "0.800",
      "0.500",
      "83.3 %",
      "0.0 %",
      "0/0",
      "0/0",
    ]);
  });

  test.each([{ failures: 1 }, { uneven: 1 }])("have no ratio with %j", (bad) => {
    expect(ratioOf(row())).toBe(0.5);
    expect(ratioOf(row(bad))).toBeNaN();
  });

  test("say why a request failed", () => {
    expect(failureLines([row({ failures: 2, firstFailure: "other side closed" })])).toEqual([
      "C=8, after a kill, with: 2 failed, the first: other side closed",
    ]);
    expect(failureLines([row()])).toEqual([]);
  });
});
