// A job that kills the engine fails; jobs that only ran beside it do not.
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import {
  count,
  type Deaths,
  killsEngine,
  mustRunAlone,
  NO_DEATHS,
} from "../../worker/job-lock/engine-deaths.ts";
import { createRig, type Rig } from "../rig.ts";

describe("which job is blamed for the engine's deaths", () => {
  test.each<[string, boolean[], { alone: boolean; kills: boolean }]>([
    ["none at first", [], { alone: false, kills: false }],
    ["one death shows nothing", [false], { alone: false, kills: false }],
    ["after two a job runs alone", [false, false], { alone: true, kills: false }],
    ["a third, alone, shows that this job is the cause", [false, false, true], { alone: true, kills: true }],
    ["alone, the first one shows nothing either", [true], { alone: true, kills: false }],
    ["nor do two", [true, true], { alone: true, kills: false }],
    ["nor one alone after one beside others", [false, true], { alone: true, kills: false }],
    ["a third one does, wherever the others were", [false, true, true], { alone: true, kills: true }],
    ["three beside others show no more than two", [false, false, false], { alone: true, kills: false }],
    ["five neither", Array(5).fill(false), { alone: true, kills: false }],
    ["six are too many for an accident", Array(6).fill(false), { alone: true, kills: true }],
  ])("%s", (_, deaths, { alone, kills }) => {
    const counted = deaths.reduce<Deaths>(count, NO_DEATHS);
    expect([mustRunAlone(counted), killsEngine(counted)]).toEqual([alone, kills]);
  });
});

/** Acts as the engine: it dies with everything it runs while it runs the job `deadly`, and answers all others. */
async function work(rig: Rig, deadly: string): Promise<string[][]> {
  const deaths: string[][] = [];
  const done = new Set<object>();
  for (let round = 0; round < 60; round++) {
    await rig.clock.advance(2_000);
    const running = rig.runs.filter((run) => !done.has(run));
    const dies = running.some(({ input }) => input.name === deadly);
    if (dies) deaths.push(running.map(({ input }) => input.name).toSorted());
    for (const run of running) {
      done.add(run);
      if (dies) run.fail(new KamadoError("engine_died", "The engine ended before it had answered."));
      else run.finish();
    }
  }
  return deaths;
}

test("a job that kills the engine does so three times, the last time alone; then it fails, is delivered and dead-lettered", async () => {
  const rig = createRig({ slots: 3, prefetch: 3 });
  for (const name of ["bad", "good", "fine"]) await rig.send(name);
  rig.consumer.start();
  const deaths = await work(rig, "bad");
  expect(deaths).toHaveLength(3);
  expect(deaths.at(-1)).toEqual(["bad"]);
  for (const name of ["good", "fine"]) expect(rig.stored(name)?.status).toBe("succeeded");
  expect(rig.stored("bad")).toMatchObject({ status: "failed", error: { code: "engine_died" } });
  expect(rig.stored("bad")?.error?.message).toContain("no other job beside it");
  expect(rig.deliveries.find(({ job }) => job.id === "bad")?.result.error?.code).toBe("engine_died");
  expect(rig.dead.messages.map(({ body }) => JSON.parse(body).id)).toEqual(["bad"]);
  expect(rig.queue.messages).toEqual([]);
  expect([...rig.bucket.objects.keys()].filter((key) => /running\/[^.]/.test(key))).toEqual([]);
});

test("the next worker knows how often the engine died during the job", async () => {
  const first = createRig();
  await first.send("bad");
  first.consumer.start();
  for (const _ of [1, 2]) {
    await first.clock.advance(20_000);
    first.run("bad").fail(new KamadoError("engine_died", "it ended"));
    await first.clock.advance(100);
  }
  void first.consumer.stop(0);
  await first.clock.advance(12_000);
  const second = createRig({ shared: first });
  second.consumer.start();
  for (let waited = 0; second.runs.length === 0 && waited < 60; waited++) await second.clock.advance(1_000);
  second.run("bad").fail(new KamadoError("engine_died", "it ended"));
  await second.clock.advance(1_000);
  expect(second.stored("bad")?.error?.code).toBe("engine_died");
});

test("a job that could not reach the engine is not blamed", async () => {
  const rig = createRig();
  await rig.send("a");
  rig.consumer.start();
  for (const _ of [1, 2, 3]) {
    await rig.clock.advance(60_000);
    rig.run("a").fail(new KamadoError("engine_unavailable", "ECONNREFUSED"));
  }
  await rig.clock.advance(60_000);
  rig.run("a").finish();
  await rig.clock.advance(1_000);
  expect(rig.stored("a")?.status).toBe("succeeded");
  expect(rig.dead.messages).toEqual([]);
});
