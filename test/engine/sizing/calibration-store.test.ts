// What was measured is kept for one machine and one model file.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  type Calibration,
  calibrationFile,
  readCalibration,
  type Subject,
  subjectOf,
  writeCalibration,
} from "../../../worker/engine/sizing/calibration-store.ts";

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
    expect(readdirSync(join(folder, "calibration"))).toEqual([
      basename(calibrationFile(folder, calibration.subject)),
    ]);
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
    const fileOf = (subject: Subject) => calibrationFile(folder, subject);
    const one = fileOf(subjectOf({ model, backend: "node-llama-cpp" }));
    expect(fileOf(subjectOf({ model, backend: "node-llama-cpp" }))).toBe(one);
    const others = [
      fileOf(subjectOf({ model, backend: "llama-node" })),
      fileOf(subjectOf({ model, backend: "node-llama-cpp", threads: 1 })),
      fileOf({ ...subjectOf({ model, backend: "node-llama-cpp" }), cpu: "Apple M9" }),
    ];
    writeFileSync(model, "GGUF and so on and on");
    others.push(fileOf(subjectOf({ model, backend: "node-llama-cpp" })));
    expect(new Set([one, ...others]).size).toBe(5);
  });
});
