// What a reading costs: nothing while nobody asks, one command at a time, and none that lasts.
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isRunning } from "../../worker/async/is-running.ts";
import { serviceEnvironment } from "../../worker/config/config.ts";
import { createPowerReader, createRun } from "../../worker/power/power-reader.ts";
import type { Figure, Source } from "../../worker/power/reading.ts";
import { FakeClock } from "../fakes/clock.ts";

function counted(clock: FakeClock) {
  const asked: string[] = [];
  let running = 0;
  const most = { atOnce: 0 };
  const source = (figure: Figure, more: object = {}): Source => ({
    figures: [figure],
    async read() {
      asked.push(figure);
      most.atOnce = Math.max(most.atOnce, ++running);
      await clock.sleep(100);
      running -= 1;
      return { found: { [figure]: 7 }, ...more };
    },
  });
  const sources = [source("gpuPercent"), source("idleSeconds"), source("temperature", { isFinal: true })];
  const run = async () => ({ is: "missing" as const });
  return { asked, most, reader: createPowerReader({ sources, run, clock }) };
}

test("nothing runs while nobody asks; many who ask at once cost as much as one; one command runs at a time", async () => {
  const clock = new FakeClock();
  const { asked, most, reader } = counted(clock);
  await clock.advance(60_000);
  expect([asked, reader.latest()]).toEqual([[], null]);
  const readings = Promise.all(Array.from({ length: 50 }, () => reader.read()));
  await clock.advance(1_000);
  expect(new Set((await readings).map((reading) => JSON.stringify(reading))).size).toBe(1);
  expect(asked.toSorted()).toEqual(["gpuPercent", "idleSeconds", "temperature"]);
  expect(most.atOnce).toBe(1);
});

test("a reading counts for a few seconds, and what never changes for good", async () => {
  const clock = new FakeClock();
  const { asked, reader } = counted(clock);
  const read = async () => {
    void reader.read();
    await clock.advance(1_000);
  };
  await read();
  await read();
  expect(asked).toHaveLength(3);
  await clock.advance(5_000);
  await read();
  expect(asked.slice(3).toSorted()).toEqual(["gpuPercent", "idleSeconds"]);
});

test("whoever needs one figure has only that one read, and the others say that they were not read", async () => {
  const clock = new FakeClock();
  const { asked, reader } = counted(clock);
  void reader.read(["idleSeconds"]);
  await clock.advance(1_000);
  expect(asked).toEqual(["idleSeconds"]);
  expect(reader.latest()).toMatchObject({ idleSeconds: 7, absent: { gpuPercent: "not read yet" } });
});

test("a source that throws costs its figures, not the reading", async () => {
  const broken: Source = {
    figures: ["gpuWatts"],
    read: async () => {
      throw new Error("EIO");
    },
  };
  const reader = createPowerReader({
    sources: [broken],
    run: async () => ({ is: "missing" }),
    clock: new FakeClock(),
  });
  expect((await reader.read()).absent.gpuWatts).toBe("EIO");
});

test("a command that does not end is killed", async () => {
  const run = createRun(serviceEnvironment(), 300);
  const file = join(mkdtempSync(join(tmpdir(), "kamado-power-")), "pid");
  expect(await run(["/bin/sh", "-c", `echo $$ > ${file}; exec sleep 30`])).toEqual({
    is: "failed",
    why: "/bin/sh took too long",
  });
  await expect.poll(() => isRunning(Number(readFileSync(file, "utf8")))).toBe(false);
  expect(await run(["/no/such/command"])).toEqual({ is: "missing" });
});
