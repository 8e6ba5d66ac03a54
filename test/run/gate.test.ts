import { expect, test } from "vitest";
import { silentLog } from "../../worker/log.ts";
import { Gate } from "../../worker/run/gate.ts";
import { FakeClock } from "../fakes/clock.ts";

test("what a job needs is asked ever more rarely while it is away, and used again when it answers", async () => {
  const clock = new FakeClock();
  let [up, probes] = [false, 0];
  const probe = async () => {
    probes++;
    return up;
  };
  const gate = new Gate({ what: "bucket", probe, clock, log: silentLog });
  let isReady = false;
  void gate.ready(new AbortController().signal).then(() => {
    isReady = true;
  });
  await clock.advance(60_000);
  expect([isReady, gate.isOpen, gate.isAway]).toEqual([false, false, true]);
  expect(probes).toBeLessThan(20);
  up = true;
  await clock.advance(16_000);
  expect([isReady, gate.isOpen]).toEqual([true, true]);
  gate.suspect();
  expect([gate.isOpen, gate.isAway]).toEqual([false, false]);
});
