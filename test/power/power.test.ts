// What whoever looks at a worker sees of its machine, and what a job took.
import { expect, test } from "vitest";
import { loadConfig } from "../../worker/config/config.ts";
import { createWebApp } from "../../worker/console/server.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { createPower, withPower } from "../../worker/power/power.ts";
import { createPowerReader } from "../../worker/power/power-reader.ts";
import { FakeClock } from "../fakes/clock.ts";
import { createRig } from "../rig.ts";

const host = { headers: { host: "localhost" } };

test("/health reads nothing of the machine; whoever looks at its power does", async () => {
  let reads = 0;
  const reading = () => {
    reads += 1;
    return { gpuWatts: 7.5, cpuWatts: 2 };
  };
  const rig = createRig({ power: { settings: {}, reading } });
  rig.worker.start();
  const app = createWebApp({
    state: () => withPower(rig.worker.state(), rig.worker.power),
    token: undefined,
  });
  await app.request("/health", host);
  await rig.clock.advance(3_600_000);
  expect(reads).toBe(0);
  const state = await (await app.request("/state", host)).json();
  expect(state).toMatchObject({ power: { watts: 9.5, reading: { gpuWatts: 7.5 }, paused: null } });
});

test("figures of long ago are not shown as if they were of now", async () => {
  const clock = new FakeClock();
  const sources = [{ figures: ["gpuPercent" as const], read: async () => ({ found: { gpuPercent: 50 } }) }];
  const reader = createPowerReader({ sources, run: async () => ({ is: "missing" }), clock });
  const power = createPower({ settings: loadConfig({}, {}).power, reader, clock, log: silentLog });
  expect(power.look().reading).toBeNull();
  await clock.advance(1_000);
  expect(power.look().reading).toMatchObject({ gpuPercent: 50, at: clock.epoch });
  await clock.advance(3_600_000);
  expect(power.look().reading).toBeNull();
  await clock.advance(1_000);
  expect(power.look().reading).toMatchObject({ gpuPercent: 50, at: clock.wall() - 1_000 });
});

test("whoever asks rarely, as a collector of metrics, gets figures of now", async () => {
  const clock = new FakeClock();
  const sources = [{ figures: ["gpuPercent" as const], read: async () => ({ found: { gpuPercent: 50 } }) }];
  const reader = createPowerReader({ sources, run: async () => ({ is: "missing" }), clock });
  const power = createPower({ settings: loadConfig({}, {}).power, reader, clock, log: silentLog });
  for (const minute of [0, 10]) {
    await clock.advance(minute * 60_000);
    expect((await power.lookNow()).reading).toMatchObject({ gpuPercent: 50, at: clock.wall() });
  }
});

test("the energy of a job is in its receipt, and can be asked when it ends", async () => {
  const rig = createRig({ power: { settings: {}, reading: () => ({ gpuWatts: 20 }) } });
  const joules: unknown[] = [];
  rig.worker.jobEvents.subscribe(({ stage, job }) => {
    if (stage === "ended") joules.push(rig.worker.power!.joulesOf(job));
  });
  await rig.send("a");
  rig.worker.start();
  await rig.clock.advance(9_990);
  await rig.complete("a");
  expect([joules, rig.stored("a")!.receipt.joules]).toEqual([[200], 200]);
});
