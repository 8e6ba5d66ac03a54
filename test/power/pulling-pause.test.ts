// A pause: nothing is pulled, what runs goes on, and everybody can see why.
import { describe, expect, test } from "vitest";
import { whyItWaits } from "../../worker/cli/commands/enqueue.ts";
import { viewStatus } from "../../worker/cli/commands/status-view.ts";
import { withDisk } from "../../worker/console/data-disk.ts";
import { createWebApp } from "../../worker/console/server.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { localTime } from "../../worker/logging/terminal.ts";
import type { PolicySettings } from "../../worker/power/policies.ts";
import { withPower } from "../../worker/power/power.ts";
import type { Reading } from "../../worker/power/reading.ts";
import { createRig } from "../rig.ts";

const HOUR = 3_600_000;

function paused(settings: Partial<PolicySettings>) {
  const said: string[] = [];
  const say =
    (level: string) =>
    (fields: { stage?: string }, text = "") =>
      void (fields.stage === "pause" && said.push(`${level}: ${text}`));
  const log = { ...silentLog, info: say("info"), warn: say("warn") } as unknown as typeof silentLog;
  const reading: { now: Partial<Reading>; reads: number } = { now: {}, reads: 0 };
  const read = () => {
    reading.reads += 1;
    return reading.now;
  };
  const rig = createRig({
    slots: 1,
    prefetch: 1,
    timeoutSeconds: 36_000,
    power: { settings, reading: read },
    log,
  });
  const names = () => rig.runs.map(({ input }) => input.name);
  return { ...rig, said, reading, names };
}

/** From an hour after the clock's beginning, for two hours. */
function quietIn(hours: number, long = 2): PolicySettings["quietHours"] {
  const at = new Date(Date.UTC(2026, 0, 1) + hours * HOUR);
  const from = at.getHours() * 60 + at.getMinutes();
  return [{ from, to: (from + long * 60) % 1_440 }];
}

test("in quiet hours nothing is pulled; a running job goes on to its end, and its result is delivered", async () => {
  const rig = paused({ quietHours: quietIn(1) });
  await rig.send("a");
  rig.worker.start();
  await rig.clock.advance(HOUR + 20_000);
  await rig.send("b");
  await rig.complete("a");
  await rig.clock.advance(HOUR);
  expect(rig.names()).toEqual(["a"]);
  expect(rig.endOf("a")).toMatchObject({ outcome: "succeeded" });
  expect(rig.deliveries.map(({ job }) => job.id)).toEqual(["a"]);
  await rig.clock.advance(HOUR);
  expect(rig.names()).toEqual(["a", "b"]);
});

test("a worker that starts in quiet hours starts no job", async () => {
  const rig = paused({ quietHours: quietIn(0) });
  await rig.send("a");
  rig.worker.start();
  await rig.clock.advance(HOUR);
  expect([rig.names(), rig.worker.state().status]).toEqual([[], "PAUSED"]);
});

describe("a message that was pulled already", () => {
  test("goes back in quiet hours when its turn comes, for another worker", async () => {
    const rig = paused({ quietHours: quietIn(1) });
    await rig.send("a");
    await rig.send("b");
    rig.worker.start();
    await rig.clock.advance(HOUR + 20_000);
    expect(rig.worker.state()).toMatchObject({ running: 1, waiting: 1 });
    await rig.complete("a");
    await rig.clock.advance(1_000);
    expect(rig.worker.state().waiting).toBe(0);
    expect((await rig.queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 30 })).length).toBe(1);
  });

  test("waits while somebody uses the machine for a moment", async () => {
    const rig = paused({ yieldIdleSeconds: 60 });
    rig.reading.now = { idleSeconds: 1_000 };
    await rig.send("a");
    await rig.send("b");
    rig.worker.start();
    await rig.clock.advance(5_000);
    rig.reading.now = { idleSeconds: 0 };
    await rig.clock.advance(20_000);
    await rig.complete("a");
    expect([rig.names(), rig.worker.state().waiting]).toEqual([["a"], 1]);
    rig.reading.now = { idleSeconds: 61 };
    await rig.clock.advance(20_000);
    expect(rig.names()).toEqual(["a", "b"]);
  });
});

test("/health stays 200 and says why and until when, as the state, the log and `kamado status` do", async () => {
  const rig = paused({ quietHours: quietIn(1) });
  rig.worker.start();
  await rig.clock.advance(HOUR + 20_000);
  const until = rig.clock.epoch + 3 * HOUR;
  const reason = { policy: "quiet_hours", reason: "quiet hours", until };
  const state = () => withPower(withDisk(rig.worker.state(), "/", { holdsQueue: true }), rig.worker.power);
  const app = createWebApp({ state, token: undefined });
  const ask = (path: string) => app.request(path, { headers: { host: "localhost" } });
  const health = await ask("/health");
  expect([health.status, await health.json()]).toEqual([
    200,
    expect.objectContaining({ status: "PAUSED", paused: { ...reason, since: expect.any(Number) } }),
  ]);
  expect(await (await ask("/state")).json()).toMatchObject({
    paused: reason,
    power: { paused: reason, policies: { quietHours: [expect.stringMatching(/^\d\d:\d\d-\d\d:\d\d$/)] } },
  });
  const words = `paused: quiet hours, until ${localTime(until).slice(11, 16)}`;
  expect(rig.said).toEqual([`info: ${words}; jobs stay in the queue, running jobs go on`]);
  const service = {
    pid: 1,
    startedAt: new Date().toISOString(),
    web: "http://w",
    isSilent: false,
    engine: null,
  };
  const queues = { jobs: [], outbox: null, deadJobs: 0, deadDeliveries: 0 };
  expect(viewStatus({ service: { ...service, state: rig.worker.state() }, running: [], queues })).toContain(
    words,
  );
  // `enqueue --wait` says it to whoever waits.
  expect(whyItWaits(rig.worker.state())).toBe(`the worker is ${words}`);
  await rig.clock.advance(3 * HOUR);
  expect(whyItWaits(rig.worker.state())).toBeUndefined();
  expect(rig.said.slice(1)).toEqual(["info: the pause is over: jobs are pulled again"]);
});

test("a policy that cannot work here pauses nothing, and the log says so once", async () => {
  const rig = paused({ maxTemperature: 85 });
  rig.reading.now = { absent: { temperature: "macOS gives none" } };
  await rig.send("a");
  rig.worker.start();
  await rig.clock.advance(HOUR);
  expect(rig.names()).toEqual(["a"]);
  expect(rig.said).toEqual(["warn: KAMADO_MAX_TEMPERATURE has no effect: macOS gives none"]);
  expect(rig.worker.power!.look().ineffective).toEqual([
    { setting: "KAMADO_MAX_TEMPERATURE", reason: "macOS gives none" },
  ]);
});

test("an engine that is down counts more than a pause", async () => {
  const engine = { isUp: false };
  const rig = createRig({ engine, power: { settings: { quietHours: quietIn(0) }, reading: () => ({}) } });
  rig.worker.start();
  await rig.clock.advance(10_000);
  expect(rig.worker.state()).toMatchObject({ status: "UNHEALTHY", paused: { policy: "quiet_hours" } });
});

test("a stop waits for no end of a pause", async () => {
  const rig = paused({ quietHours: quietIn(0), yieldIdleSeconds: 60 });
  rig.worker.start();
  await rig.clock.advance(20_000);
  const stopped = rig.worker.stop();
  // The open poll of the outbox ends.
  await rig.clock.advance(15_000);
  await stopped;
});
