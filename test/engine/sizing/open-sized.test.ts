// The engine process measures a real model once, keeps the table, and fits itself into the memory that it may use.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { TINY, writeTextModel } from "../../../models/random/models.ts";
import type { EngineEvent } from "../../../worker/engine/protocol.ts";
import { subjectOf, writeCalibration } from "../../../worker/engine/sizing/calibration-store.ts";
import { tableOf } from "../../../worker/engine/sizing/report.ts";
import { EngineProcess } from "../../../worker/engine/supervisor/process.ts";
import { type Engine, startEngine } from "../../../worker/engine/supervisor/supervisor.ts";
import { until } from "../running.ts";

let folder: string;
let model: string;
let engine: Engine | undefined;
let log: string[];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "kamado-"));
  model = join(folder, "tiny.gguf");
  writeTextModel(model, { ...TINY, contextSize: 8_192 });
});
afterEach(() => engine?.stop());
afterAll(() => rmSync(folder, { recursive: true }));

const start = (more: Parameters<typeof startEngine>[0]) => {
  log = [];
  engine = startEngine({ model, port: 0, threads: 1, onLog: (line) => log.push(line), ...more });
  return engine;
};
const measures = () => log.some((line) => line.includes("measuring how many"));
const health = async ({ url }: Engine) => (await fetch(`${url}/health`)).json();

describe("an engine that finds out its slots itself", () => {
  test("measures at its first start, says so meanwhile and what it found, and keeps it unless it was disturbed", async () => {
    const dataDir = join(folder, "fresh");
    const first = start({ dataDir });
    const ready = first.ready();
    await until(() => first.url !== "");
    await until(async () => (await health(first)).reason === "calibrating");
    expect((await health(first)).state).toBe("STARTING");
    await ready;
    const table = first.info!.calibration!;
    expect(table[0]).toContain("tiny.gguf with node-llama-cpp ");
    expect(await health(first)).toMatchObject({ state: "READY", slots: { total: first.info!.slots } });
    expect(measures()).toBe(true);
    expect(existsSync(join(dataDir, "calibration"))).toBe(table.some((line) => line.endsWith(", steady")));
  }, 240_000);

  test("reads what was kept, and measures nothing", async () => {
    const dataDir = join(folder, "kept");
    const readings = [1, 2, 3, 4].map((width) => ({ width, tokensPerSecond: width * 100 }));
    const kept = {
      subject: subjectOf({ model, backend: "node-llama-cpp", threads: 1 }),
      measuredAt: "2026-11-21T09:00:00.000Z",
      measured: {
        readings,
        leftOut: [],
        steady: true as const,
        seenTwice: 4,
        prefillTokensPerSecond: 900,
        tookMs: 4_000,
      },
    };
    await writeCalibration(dataDir, kept);
    const one = start({ dataDir });
    await one.ready();
    expect([measures(), one.info?.slots]).toEqual([false, 4]);
    expect(one.info?.slotsFrom?.measured).toMatchObject({
      readings: kept.measured.readings,
      modelBytes: kept.subject.model.size,
      cpu: kept.subject.cpu,
    });
    expect(one.info?.calibration).toEqual(tableOf(kept, 4));
  }, 120_000);

  test("measures again what an older version kept after a single look", async () => {
    const dataDir = join(folder, "older");
    const measured = { readings: [{ width: 2, tokensPerSecond: 100 }], leftOut: [], steady: true as const };
    await writeCalibration(dataDir, {
      subject: subjectOf({ model, backend: "node-llama-cpp", threads: 1 }),
      measuredAt: "2026-11-21T09:00:00.000Z",
      measured: { ...measured, prefillTokensPerSecond: 900, tookMs: 4_000 },
    });
    const ready = start({ dataDir }).ready();
    // How long it measures, and what comes of it, is shown above.
    await Promise.race([until(measures), ready]);
    expect(measures()).toBe(true);
    await Promise.all([engine?.stop(), expect(ready).rejects.toThrow()]);
  }, 240_000);

  test("does not measure when the user sets them", async () => {
    const dataDir = join(folder, "unused");
    const one = start({ dataDir, slots: 3 });
    await one.ready();
    expect([measures(), one.info?.slots, one.info?.calibration]).toEqual([false, 3, undefined]);
    expect((await health(one)).slots.total).toBe(3);
  }, 120_000);

  test("takes eight where a calibration cannot be kept", async () => {
    const one = start({});
    await one.ready();
    expect([measures(), one.info?.slots]).toEqual([false, 8]);
  }, 120_000);
});

describe("in little memory", () => {
  test("a smaller context is chosen and reported", async () => {
    // 8 slots of 8,192 tokens would need some 7 MB more.
    const one = start({ slots: 8, memoryLimit: 240 * 2 ** 20 });
    await one.ready();
    const { contextSize, memory } = one.info!;
    expect([4_096, 2_048]).toContain(contextSize);
    expect(memory.estimatedBytes).toBeLessThanOrEqual(240 * 2 ** 20);
    expect((await health(one)).memory).toMatchObject({ estimatedBytes: memory.estimatedBytes });
    expect((await health(one)).memory.residentBytes).toBeGreaterThan(2 ** 20);
    expect(log.join()).toContain(`The engine uses 8 slots of ${contextSize} tokens instead of 8 of 8192`);
  }, 120_000);

  test("the engine ends with the reason and an exit code of its own when nothing fits", async () => {
    const options = { model, port: 0, threads: 1, slots: 8, contextSize: 8_192, memoryLimit: 165 * 2 ** 20 };
    const events: EngineEvent[] = [];
    const [how, reason] = await new Promise<[string, string]>((resolve) => {
      const onExit = (...end: [string, string]) => resolve(end);
      new EngineProcess(options, { onLog: () => {}, onEvent: (event) => events.push(event), onExit });
    });
    expect(how).toBe("exit code 3");
    const words =
      /The model needs \d+ MiB with 8 slots of 8192 tokens, and 165 MiB are available\. Use a smaller quantization/;
    expect(reason).toMatch(words);
    expect(events.at(-1)).toEqual({
      event: "failed",
      code: "memory_insufficient",
      reason: expect.stringMatching(words),
      hint: expect.any(String),
    });
  }, 120_000);

  test("its supervisor gives up at once and says why", async () => {
    const one = start({ slots: 1, contextSize: 8_192, memoryLimit: 100 * 2 ** 20 });
    await expect(one.ready()).rejects.toMatchObject({
      code: "memory_insufficient",
      message: expect.stringContaining("100 MiB are available"),
    });
    expect([one.state, one.restarts]).toEqual(["SETUP_FAILED", 0]);
  }, 120_000);

  test("pictures' backend is fitted too", async () => {
    const one = start({ backend: "llama-node", slots: 8, memoryLimit: 100 * 2 ** 20 });
    await expect(one.ready()).rejects.toMatchObject({ code: "memory_insufficient" });
  }, 120_000);
});
