// What was measured is kept for one machine and one model file, and shown to people.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type Calibration,
  readCalibration,
  writeCalibration,
} from "../../../worker/engine/sizing/calibration-store.ts";
import { keyOf, subjectOf } from "../../../worker/engine/sizing/machine.ts";
import { receiverOf, tableOf } from "../../../worker/engine/sizing/report.ts";

describe("what was measured", () => {
  let folder: string;
  let calibration: Calibration;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "kamado-"));
    const model = join(folder, "model.gguf");
    writeFileSync(model, "GGUF and so on");
    calibration = {
      subject: {
        ...subjectOf({ model, backend: "node-llama-cpp" }),
        cpu: "Apple M4 Pro",
        cores: 12,
        version: "3.0.0",
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
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const file = () => join(folder, "calibration", readdirSync(join(folder, "calibration"))[0]!);

  test("is read back, and nothing half written stays beside it", async () => {
    await writeCalibration(folder, calibration);
    await writeCalibration(folder, calibration);
    expect(await readCalibration(folder, calibration.subject)).toEqual(calibration);
    expect(readdirSync(join(folder, "calibration"))).toEqual([`${keyOf(calibration.subject)}.json`]);
  });

  test.each([
    ["cut short", (text: string) => text.slice(0, 100)],
    ["of another version", (text: string) => text.replace('"version": 1', '"version": 2')],
    ["with a rate that is none", (text: string) => text.replace("337", '"fast"')],
    [
      "of a measurement that was disturbed",
      (text: string) => text.replace('"steady": true', '"steady": false'),
    ],
  ])("counts as not there when its file is %s", async (_, damage) => {
    await writeCalibration(folder, calibration);
    const damaged = damage(readFileSync(file(), "utf8"));
    writeFileSync(file(), damaged);
    expect(await readCalibration(folder, calibration.subject)).toBeUndefined();
  });

  test("does not hold for another model file, backend, number of threads or machine", () => {
    const model = join(folder, "model.gguf");
    const one = keyOf(subjectOf({ model, backend: "node-llama-cpp" }));
    expect(keyOf(subjectOf({ model, backend: "node-llama-cpp" }))).toBe(one);
    const others = [
      keyOf(subjectOf({ model, backend: "llama-node" })),
      keyOf(subjectOf({ model, backend: "node-llama-cpp", threads: 1 })),
      keyOf({ ...subjectOf({ model, backend: "node-llama-cpp" }), cpu: "Apple M9" }),
    ];
    writeFileSync(model, "GGUF and so on and on");
    others.push(keyOf(subjectOf({ model, backend: "node-llama-cpp" })));
    expect(new Set([one, ...others]).size).toBe(5);
  });

  test("is a table for people", () => {
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
  ])("says why it is %i", (slots, words) => {
    expect(tableOf(calibration, slots).at(-1)).toBe(words);
  });

  test("says that it is the default where too little could be measured", () => {
    const { measured } = calibration;
    const little = { ...calibration, measured: { ...measured, readings: measured.readings.slice(0, 1) } };
    expect(tableOf(little, 8).at(-1)).toBe("8 slots: the default, as too little could be measured");
  });

  test("says that it is the default where the machine was busy", () => {
    const busy = { ...calibration, measured: { ...calibration.measured, steady: false } };
    expect(tableOf(busy, 8).at(-1)).toContain("8 slots: the default, as other work disturbed the measuring");
  });

  test("is a line for the log", () => {
    expect(receiverOf(calibration, 8)).toBe(
      "8 slots: the fewest that come near the best (tokens/s by slots 1: 337.0, 8: 1336.0; not measured at 9, 16: time was up)",
    );
  });
});
