// A job that kills the engine costs itself, and nobody who only ran beside it.
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import {
  count,
  type Deaths,
  isPoison,
  mustRunAlone,
  NO_DEATHS,
} from "../../worker/job-lock/engine-deaths.ts";
import { Quarantine } from "../../worker/runner/quarantine.ts";
import { settled } from "../fakes/clock.ts";
import { createRig, type Rig } from "../rig.ts";

describe("whom the engine's deaths are laid to", () => {
  test.each<[string, boolean[], { alone: boolean; poison: boolean }]>([
    ["nobody at first", [], { alone: false, poison: false }],
    ["one death says nothing", [false], { alone: false, poison: false }],
    ["after two a job runs alone", [false, false], { alone: true, poison: false }],
    ["a third, alone, says who it was", [false, false, true], { alone: true, poison: true }],
    ["three beside others say nothing more than two", [false, false, false], { alone: true, poison: false }],
  ])("%s", (_, deaths, { alone, poison }) => {
    const counted = deaths.reduce<Deaths>(count, NO_DEATHS);
    expect([mustRunAlone(counted), isPoison(counted)]).toEqual([alone, poison]);
  });
});

describe("alone", () => {
  const never = new AbortController().signal;

  test("means that the others have left, and that nobody comes in", async () => {
    const quarantine = new Quarantine();
    const inside: string[] = [];
    const leave = await quarantine.enter(false, never);
    const suspect = quarantine.enter(true, never).then((gone) => {
      inside.push("suspect");
      return gone;
    });
    const later = quarantine.enter(false, never).then(() => inside.push("later"));
    await settled();
    expect(inside).toEqual([]);
    leave();
    const gone = await suspect;
    await settled();
    expect(inside).toEqual(["suspect"]);
    gone();
    await later;
    expect(inside).toEqual(["suspect", "later"]);
  });

  test("whoever gives up waiting keeps nobody else waiting", async () => {
    const quarantine = new Quarantine();
    await quarantine.enter(false, never);
    const cut = new AbortController();
    const suspect = quarantine.enter(true, cut.signal);
    const later = quarantine.enter(false, never);
    cut.abort(new KamadoError("stopping", "The worker stops."));
    await expect(suspect).rejects.toMatchObject({ code: "stopping" });
    await later;
    await expect(quarantine.enter(false, cut.signal)).rejects.toMatchObject({ code: "stopping" });
  });
});

/** What a real engine would do: it dies of `poison` with everything it runs, and answers the rest. */
async function work(rig: Rig, poison: string): Promise<string[][]> {
  const deaths: string[][] = [];
  const done = new Set<object>();
  for (let round = 0; round < 60; round++) {
    await rig.clock.advance(2_000);
    const running = rig.runs.filter((run) => !done.has(run));
    const dies = running.some(({ input }) => input.name === poison);
    if (dies) deaths.push(running.map(({ input }) => input.name).toSorted());
    for (const run of running) {
      done.add(run);
      if (dies) run.fail(new KamadoError("engine_died", "The engine ended before it had answered."));
      else run.finish();
    }
  }
  return deaths;
}

test("a poisoned job kills the engine three times, the last time alone; then it is put aside, told and answered", async () => {
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

test("the deaths are remembered by the next worker", async () => {
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
  await second.clock.advance(60_000);
  second.run("bad").fail(new KamadoError("engine_died", "it ended"));
  await second.clock.advance(1_000);
  expect(second.stored("bad")?.error?.code).toBe("engine_died");
});

test("a job that only met a closed door is no suspect", async () => {
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
