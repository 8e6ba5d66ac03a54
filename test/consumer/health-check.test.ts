import { expect, test } from "vitest";
import { HealthCheck } from "../../worker/consumer/health-check.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { FakeClock } from "../fakes/clock.ts";

test("an engine or bucket that does not answer is probed less and less often, and used again when it answers", async () => {
  const clock = new FakeClock();
  let [up, probes] = [false, 0];
  const probe = async () => {
    probes++;
    return up;
  };
  const health = new HealthCheck({ what: "bucket", probe, clock, log: silentLog });
  let isAnswered = false;
  void health.healthy(new AbortController().signal).then(() => {
    isAnswered = true;
  });
  await clock.advance(60_000);
  expect([isAnswered, health.isHealthy, health.isDown]).toEqual([false, false, true]);
  expect(probes).toBeLessThan(20);
  up = true;
  await clock.advance(16_000);
  expect([isAnswered, health.isHealthy]).toEqual([true, true]);
  health.suspect();
  expect([health.isHealthy, health.isDown]).toEqual([false, false]);
});
