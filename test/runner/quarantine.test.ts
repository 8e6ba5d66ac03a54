// A job that is suspected of killing the engine runs alone, and nobody waits long for it.
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { type Place, Quarantine } from "../../worker/runner/quarantine.ts";
import type { Suspect } from "../../worker/runner/suspects.ts";
import { FakeClock, settled } from "../fakes/clock.ts";
import { createRig } from "../rig.ts";

const never = new AbortController().signal;
const honest = (id: string): Suspect => ({ id, kind: "work", deaths: { beside: 0, alone: 0 } });
const suspect = (id: string): Suspect => ({ id, kind: "work", deaths: { beside: 2, alone: 0 } });

function opened() {
  const clock = new FakeClock();
  const state = { deaths: 0 };
  const onDeath = () => {
    state.deaths += 1;
  };
  const quarantine = new Quarantine({ engine: { answersSince: 0 }, onDeath, clock });
  const inside: string[] = [];
  const enter = async (job: Suspect, signal = never) => {
    const place = await quarantine.enter(job, signal);
    if (place.is === "inside") inside.push(job.id);
    return place as Place;
  };
  return { clock, state, quarantine, inside, enter };
}

describe("a job that must run alone", () => {
  test("waits until the others have left, and then lets no other in", async () => {
    const { enter, inside } = opened();
    const first = await enter(honest("first"));
    const alone = enter(suspect("suspect"));
    const later = enter(honest("later"));
    await settled();
    expect(inside).toEqual(["first"]);
    first.leave("succeeded", honest("first"));
    const place = await alone;
    await settled();
    expect([inside, place.isAlone]).toEqual([["first", "suspect"], true]);
    place.leave("succeeded", suspect("suspect"));
    await later;
    expect(inside).toEqual(["first", "suspect", "later"]);
  });

  test("is alone for half a minute at most: then others run beside it, and its end proves nothing", async () => {
    const { clock, enter, inside } = opened();
    const place = await enter(suspect("suspect"));
    const later = enter(honest("later"));
    await clock.advance(29_999);
    expect([inside, place.isAlone]).toEqual([["suspect"], true]);
    await clock.advance(1);
    await later;
    expect([inside, place.isAlone]).toEqual([["suspect", "later"], false]);
    place.leave("otherwise", suspect("suspect"));
    await enter(honest("last"));
  });

  test("that stops waiting does not keep others waiting", async () => {
    const { enter } = opened();
    await enter(honest("first"));
    const cut = new AbortController();
    const alone = enter(suspect("suspect"), cut.signal);
    const later = enter(honest("later"));
    cut.abort(new KamadoError("stopping", "The worker stops."));
    await expect(alone).rejects.toMatchObject({ code: "stopping" });
    await later;
    await expect(enter(honest("last"), cut.signal)).rejects.toMatchObject({ code: "stopping" });
  });

  test("gives way when the others take long, and waits longer the next time", async () => {
    const { clock, enter, inside, quarantine } = opened();
    const long = await enter(honest("long"));
    const alone = quarantine.enter(suspect("suspect"), never);
    const later = enter(honest("later"));
    await clock.advance(9_999);
    expect(inside).toEqual(["long"]);
    await clock.advance(1);
    expect(await alone).toMatchObject({ is: "held" });
    (await later).leave("succeeded", honest("later"));
    const again = enter(suspect("suspect"));
    await clock.advance(15_000);
    long.leave("succeeded", honest("long"));
    expect((await again).isAlone).toBe(true);
  });

  test("goes back to the queue while another has its turn: it holds no slot", async () => {
    const { enter, quarantine } = opened();
    await enter(suspect("one"));
    expect(await quarantine.enter(suspect("two"), never)).toMatchObject({ is: "held" });
  });
});

test("several jobs that were in the engine report one death", async () => {
  const { state, enter } = opened();
  const places = [await enter(honest("a")), await enter(honest("b"))];
  for (const [index, place] of places.entries()) place.leave("died", honest(String(index)));
  expect(state.deaths).toBe(1);
  (await enter(honest("c"))).leave("died", honest("c"));
  expect(state.deaths).toBe(2);
});

test("jobs that wait behind a suspect lose no attempt when it ends the engine", async () => {
  const engine = { isUp: true };
  const rig = createRig({ slots: 4, prefetch: 0, engine, maxAttempts: 1 });
  const spent = { worker: "w", token: "t", beat: 1, holdMs: 0, attempts: 2, deaths: { beside: 2, alone: 0 } };
  await rig.bucket.put("running/bad.json", JSON.stringify(spent), { contentType: "application/json" });
  await rig.send("bad");
  rig.consumer.start();
  await rig.clock.advance(100);
  for (const name of ["a", "b", "c"]) await rig.send(name);
  await rig.clock.advance(100);
  expect(rig.runs.map(({ input }) => input.name)).toEqual(["bad"]);
  engine.isUp = false;
  rig.run("bad").fail(new KamadoError("engine_died", "it ended"));
  await rig.clock.advance(20_000);
  expect(rig.runs).toHaveLength(1);
  engine.isUp = true;
  await rig.clock.advance(5_000);
  for (const name of ["a", "b", "c"]) rig.run(name).finish();
  await rig.clock.advance(1_000);
  for (const name of ["a", "b", "c"])
    expect(rig.stored(name)).toMatchObject({ status: "succeeded", receipt: { attempts: 1 } });
  expect(rig.stored("bad")?.error?.code).toBe("engine_died");
});
