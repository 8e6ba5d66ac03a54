// What was disturbed is measured again while nobody needs the engine. Time is the test's own; one test measures a real model.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { TINY, writeTextModel } from "../../../models/random/models.ts";
import { parseOptions } from "../../../worker/engine/options.ts";
import type { Measured } from "../../../worker/engine/sizing/choose.ts";
import { Arrivals, measureApart, measureWhileIdle } from "../../../worker/engine/sizing/idle-calibration.ts";

const measured = (more: Partial<Measured> = {}): Measured => ({
  readings: [1, 2, 4, 8, 9, 16].map((width) => ({ width, tokensPerSecond: width * 10 })),
  leftOut: [],
  steady: true,
  seenTwice: 6,
  prefillTokensPerSecond: 100,
  tookMs: 1,
  ...more,
});

/** A machine whose waits end when the test says so. */
function machine(measure: (signal: AbortSignal, nth: number) => Promise<Measured>, busy = () => false) {
  const arrivals = new Arrivals();
  const stopping = new AbortController();
  const waits: number[] = [];
  let tries = 0;
  let onWait = (_ms: number) => {};
  const result = measureWhileIdle({
    arrivals,
    isBusy: busy,
    measure: (signal) => measure(signal, ++tries),
    stopping: stopping.signal,
    wait: async (ms) => {
      waits.push(ms);
      onWait(ms);
    },
  });
  return {
    arrivals,
    stopping,
    waits,
    result,
    tries: () => tries,
    onWait: (call: typeof onWait) => (onWait = call),
  };
}

const interrupted = (signal: AbortSignal) =>
  new Promise<Measured>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));

describe("a calibration that was not steady", () => {
  test("is measured again until it is steady, after longer and longer pauses", async () => {
    const one = machine(async (_, nth) => measured({ steady: nth === 3 }));
    expect(await one.result).toEqual(measured());
    expect(one.tries()).toBe(3);
    const pauses = one.waits.filter((_, index) => index % 2 === 0);
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b));
    expect(new Set(pauses).size).toBe(3);
  });

  test("is given up after a few tries", async () => {
    const one = machine(async () => measured({ steady: false }));
    expect(await one.result).toBeUndefined();
    expect(one.tries()).toBe(5);
  });

  test("is given up when the model cannot run a second time, without harm", async () => {
    const one = machine(async () => {
      throw new Error("no room");
    });
    expect(await one.result).toBeUndefined();
  });

  test("is interrupted by the first request, and what the interrupted one says counts for nothing", async () => {
    const one = machine(async (signal, nth) => {
      if (nth > 1) return measured({ tookMs: 2 });
      one.arrivals.came();
      expect(signal.aborted).toBe(true);
      // It was about to end well.
      return measured();
    });
    expect((await one.result)?.tookMs).toBe(2);
    const two = machine(async (signal, nth) => {
      if (nth > 1) return measured();
      const waiting = interrupted(signal);
      two.arrivals.came();
      return waiting;
    });
    expect(await two.result).toEqual(measured());
    expect(two.tries()).toBe(2);
  });

  test("is not measured before no request has come for a while and none runs", async () => {
    let busy = 2;
    const one = machine(
      async () => measured(),
      () => busy-- > 0,
    );
    await one.result;
    // The pause, two waits that found a request running, and one that did not.
    expect(one.waits.slice(1)).toEqual([30_000, 30_000, 30_000]);
    let requests = 2;
    const two = machine(async () => measured());
    two.onWait((ms) => {
      if (ms === 30_000 && requests-- > 0) two.arrivals.came();
    });
    await two.result;
    expect(two.waits.slice(1)).toEqual([30_000, 30_000, 30_000]);
  });

  test("is not measured any more when the engine stops", async () => {
    const one = machine(async (signal) => {
      const waiting = interrupted(signal);
      one.stopping.abort();
      return waiting;
    });
    expect(await one.result).toBeUndefined();
    expect(one.tries()).toBe(1);
  });
});

describe("a real model beside the one that serves", { timeout: 120_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-"));
  const model = join(folder, "tiny.gguf");
  writeTextModel(model, { ...TINY, contextSize: 8_192 });
  const options = parseOptions({ model, port: 0, threads: 1, dataDir: folder });

  test("is measured in a process of its own, at all widths, and ends when a request comes", async () => {
    const found = await measureApart(options, 1, new AbortController().signal);
    expect(found).toMatchObject({ sampling: "temperature 0.7", tookMs: expect.any(Number) });
    expect(found.readings.length + found.leftOut.length).toBe(6);
    const arrivals = new Arrivals();
    const measuring = measureApart(options, 1, arrivals.next);
    arrivals.came();
    await expect(measuring).rejects.toThrow("ended early");
  });

  test("is not measured where its memory is not known, or too little is left", async () => {
    const { signal } = new AbortController();
    await expect(measureApart(options, undefined, signal)).rejects.toThrow("not known");
    const little = { ...options, memoryLimit: 2 ** 28 };
    await expect(measureApart(little, 2 ** 28 - 1, signal)).rejects.toThrow("ended early");
    rmSync(folder, { recursive: true });
  });
});
