// A calibration as people read it.
import { expect, test } from "vitest";
import type { Calibration } from "../../../worker/engine/sizing/calibration-store.ts";
import { summaryOf, tableOf } from "../../../worker/engine/sizing/report.ts";

const calibration: Calibration = {
  subject: {
    cpu: "Apple M4 Pro",
    cores: 12,
    gpu: null,
    model: { name: "model.gguf", size: 14, mtimeMs: 1, head: "" },
    backend: "node-llama-cpp",
    version: "3.0.0",
    threads: null,
  },
  measuredAt: "2026-11-21T09:00:00.000Z",
  measured: {
    readings: [
      { width: 1, tokensPerSecond: 337 },
      { width: 8, tokensPerSecond: 1_336.04 },
    ],
    leftOut: [
      { width: 9, why: "time" },
      { width: 16, why: "time" },
    ],
    steady: true,
    prefillTokensPerSecond: 2_100,
    tookMs: 4_000,
  },
};

test("is a table for the terminal", () => {
  expect(tableOf(calibration, 8)).toEqual([
    "model.gguf with node-llama-cpp 3.0.0 on Apple M4 Pro, 12 cores, 2026-11-21",
    "    slots  tokens/s   each  against 1",
    "        1     337.0  337.0      1.00x",
    "->      8    1336.0  167.0      3.96x",
    "prompts are read at 2100 tokens/s",
    "not measured at 9, 16: time was up",
    "8 slots: the fewest that come near the best",
  ]);
});

test.each([
  [4, "4 slots: memory allows no more"],
  [8, "8 slots: the fewest that come near the best"],
])("says why it is %i", (slots, reason) => {
  expect(tableOf(calibration, slots).at(-1)).toBe(reason);
});

test("says that it is the default where too little could be measured", () => {
  const { measured } = calibration;
  const little = { ...calibration, measured: { ...measured, readings: measured.readings.slice(0, 1) } };
  expect(tableOf(little, 8).at(-1)).toBe("8 slots: the default, because too little could be measured");
});

test("says that it is the default where the machine was busy", () => {
  const busy = { ...calibration, measured: { ...calibration.measured, steady: false } };
  expect(tableOf(busy, 8).at(-1)).toContain(
    "8 slots: the default, because other work disturbed the measurement",
  );
});

test("does not blame other work where the model's answers are too short", () => {
  const { measured } = calibration;
  const leftOut = [2, 4, 8, 9, 16].map((width) => ({ width, why: "ended" as const }));
  const short = { ...measured, readings: measured.readings.slice(0, 1), leftOut, steady: false };
  const table = tableOf({ ...calibration, measured: { ...short, sampling: "temperature 0.7" } }, 8);
  expect(table.slice(-3)).toEqual([
    "not measured at 2, 4, 8, 9, 16: the model's answers ended too early",
    "measured at temperature 0.7, not complete, so not kept",
    "8 slots: the default, because this model's answers are too short to be measured",
  ]);
});

test("says with which sampling it was measured, and whether it was steady", () => {
  const sampled = { ...calibration, measured: { ...calibration.measured, sampling: "temperature 0.7" } };
  expect(tableOf(sampled, 8)).toContain("measured at temperature 0.7, steady");
});

test("is a line for the log", () => {
  expect(summaryOf(calibration, 8)).toBe(
    "8 slots: the fewest that come near the best (tokens/s by slots 1: 337.0, 8: 1336.0; not measured at 9, 16: time was up)",
  );
});
