// The engine and the bucket are asked before work begins, and a job's failure closes nothing that answers.
import { describe, expect, test } from "vitest";
import { HealthCheck } from "../../worker/consumer/health-check.ts";
import { KamadoError } from "../../worker/errors.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { FakeClock } from "../fakes/clock.ts";
import { createRig } from "../rig.ts";

const never = new AbortController().signal;

function checked() {
  const clock = new FakeClock();
  const state = { isUp: true, probes: 0, said: [] as string[] };
  const probe = async () => {
    state.probes += 1;
    await clock.sleep(10);
    return state.isUp ? null : new KamadoError("storage_unavailable", "The key is wrong.");
  };
  const warn = (_: object, text = "") => void state.said.push(text);
  const log = { ...silentLog, warn } as unknown as typeof silentLog;
  const options = { what: "bucket", probe, hint: () => "Check it.", longestPauseMs: 15_000 } as const;
  const health = new HealthCheck({ ...options, clock, log });
  return { clock, state, health };
}

test("an engine or bucket that does not answer is probed less and less often, and used again when it answers", async () => {
  const { clock, state, health } = checked();
  state.isUp = false;
  let isAnswered = false;
  void health.healthy(never).then(() => {
    isAnswered = true;
  });
  await clock.advance(60_000);
  expect([isAnswered, health.isHealthy, health.isDown]).toEqual([false, false, true]);
  expect(state.probes).toBeLessThan(20);
  state.isUp = true;
  await clock.advance(16_000);
  expect([isAnswered, health.isHealthy, health.isDown, health.cause]).toEqual([true, true, false, null]);
});

test("an engine that loads its model is told of once and without alarm; one that does not answer is warned of", async () => {
  const clock = new FakeClock();
  const said: string[] = [];
  let cause: KamadoError | null = new KamadoError("engine_unavailable", "It loads its model.", {
    detail: { isLoading: true },
  });
  const say =
    (level: string) =>
    (_: object, text = "") =>
      void said.push(`${level}: ${text}`);
  const log = { ...silentLog, info: say("info"), warn: say("warn") } as unknown as typeof silentLog;
  const health = new HealthCheck({
    what: "engine",
    probe: async () => cause,
    longestPauseMs: 500,
    clock,
    log,
  });
  void health.healthy(never);
  await clock.advance(60_000);
  const loading = "info: waiting for the engine; jobs stay in the queue: It loads its model.";
  expect(said).toEqual([loading]);
  cause = new KamadoError("engine_unavailable", "It is gone.");
  await clock.advance(60_000);
  expect(said).toEqual([loading, expect.stringMatching(/^warn: .*It is gone/)]);
  cause = null;
  await clock.advance(1_000);
  expect(said.slice(2)).toEqual(["info: the engine answers"]);
});

test("however many wait for it, it is probed as often as for one", async () => {
  const probesFor = async (waiters: number) => {
    const { clock, state, health } = checked();
    state.isUp = false;
    for (let waiter = 0; waiter < waiters; waiter++) {
      void health.healthy(never);
      await clock.advance(37);
    }
    await clock.advance(60_000);
    return state.probes;
  };
  // Jitter changes a few of them. Pauses that each waiter doubles leave less than half.
  expect(await probesFor(5)).toBeGreaterThan((await probesFor(1)) / 2);
  expect(await probesFor(5)).toBeLessThan((await probesFor(1)) * 2);
});

test("one who stops waiting does not end the wait of the others", async () => {
  const { clock, state, health } = checked();
  state.isUp = false;
  const gone = new AbortController();
  const first = health.healthy(gone.signal);
  const second = health.healthy(never);
  await clock.advance(1_000);
  gone.abort();
  await first;
  state.isUp = true;
  await clock.advance(16_000);
  await second;
  expect(health.isHealthy).toBe(true);
  const probes = state.probes;
  await clock.advance(60_000);
  expect(state.probes).toBe(probes);
});

describe("after a job that could not reach it", () => {
  test("nothing closes while it answers: the probe decides", async () => {
    const { clock, state, health } = checked();
    void health.healthy(never);
    await clock.advance(10);
    for (let failures = 0; failures < 10; failures++) health.suspect();
    expect(health.isHealthy).toBe(true);
    await clock.advance(10);
    expect([health.isHealthy, state.probes]).toEqual([true, 2]);
  });

  test("it closes at the first probe that fails", async () => {
    const { clock, state, health } = checked();
    void health.healthy(never);
    await clock.advance(10);
    state.isUp = false;
    health.suspect();
    await clock.advance(10);
    expect([health.isHealthy, state.probes]).toEqual([false, 2]);
  });

  test("a probe that was on its way when the engine ended does not open it", async () => {
    const { clock, health } = checked();
    void health.healthy(never);
    await clock.advance(5);
    health.lost();
    await clock.advance(5);
    expect(health.isHealthy).toBe(false);
    await clock.advance(1_000);
    expect(health.isHealthy).toBe(true);
  });
});

test("the log says why it does not answer, and what to do", async () => {
  const { clock, state, health } = checked();
  state.isUp = false;
  void health.healthy(never);
  await clock.advance(60_000);
  expect(state.said).toEqual(["waiting for the bucket; jobs stay in the queue: The key is wrong. Check it."]);
});

test("a bucket that goes away closes after one failure, and nothing is pulled until it answers", async () => {
  const rig = createRig({ slots: 2, prefetch: 0 });
  await rig.send("a");
  rig.consumer.start();
  await rig.clock.advance(100);
  rig.bucket.isMissing = true;
  rig.run("a").finish();
  await rig.clock.advance(30_000);
  await rig.send("b");
  await rig.clock.advance(60_000);
  expect(rig.runs.map(({ input }) => input.name)).toEqual(["a"]);
  expect(rig.worker.state()).toMatchObject({ status: "UNHEALTHY", bucket: { answers: false } });
  rig.bucket.isMissing = false;
  await rig.clock.advance(120_000);
  expect(rig.runs.map(({ input }) => input.name)).toContain("b");
});
