// The energy of jobs: watts over time, shared by the jobs that run.
import { expect, test } from "vitest";
import { JobEnergy } from "../../worker/power/job-energy.ts";
import { FakeClock } from "../fakes/clock.ts";

function measured(watts: (seconds: number) => number | undefined) {
  const clock = new FakeClock();
  let reads = 0;
  const energy = new JobEnergy({
    clock,
    watts: async () => {
      reads += 1;
      return watts(clock.now() / 1_000);
    },
  });
  const at = async (seconds: number, stage: "started" | "stored" | "ended", job: string) => {
    await clock.advance(seconds * 1_000 - clock.now());
    energy.onEvent({ stage, job });
  };
  return { clock, energy, at, reads: () => reads };
}

test("a job alone takes all of it, jobs side by side share it", async () => {
  const { energy, at } = measured(() => 12);
  await at(0, "started", "a");
  await at(10, "started", "b");
  await at(20, "stored", "a");
  await at(30, "ended", "b");
  expect([energy.joulesOf("a"), energy.joulesOf("b")]).toEqual([180, 180]);
});

test("watts that rise count in the middle between two readings", async () => {
  const { energy, at } = measured((seconds) => 2 * seconds);
  await at(0, "started", "a");
  await at(20, "ended", "a");
  // The ramp from 0 to 40 W is 400 J; the last reading before the end was that of 15 s.
  expect(energy.joulesOf("a")).toBeGreaterThan(300);
  expect(energy.joulesOf("a")).toBeLessThanOrEqual(400);
});

test("the delivery of a result takes none, and a second run of a job counts alone", async () => {
  const { energy, at } = measured(() => 10);
  await at(0, "started", "a");
  await at(10, "stored", "a");
  await at(500, "ended", "a");
  expect(energy.joulesOf("a")).toBe(100);
  await at(600, "started", "a");
  await at(603, "ended", "a");
  expect(energy.joulesOf("a")).toBe(30);
});

test("where no watts can be read there are no joules, and they are looked for only every ten minutes", async () => {
  const { energy, at, reads } = measured(() => undefined);
  await at(0, "started", "a");
  await at(590, "ended", "a");
  expect([energy.joulesOf("a"), energy.joulesOf("unknown"), reads()]).toEqual([undefined, undefined, 1]);
});

test("nothing is read while no job runs, and after a stop", async () => {
  const { clock, energy, at, reads } = measured(() => 10);
  await clock.advance(60_000);
  expect(reads()).toBe(0);
  await at(60, "started", "a");
  await at(71, "ended", "a");
  const before = reads();
  await clock.advance(60_000);
  await at(140, "started", "b");
  await energy.stop();
  await clock.advance(60_000);
  expect(reads() - before).toBe(1);
});
