// Leases: whose message it is. A worker that is not certain does nothing that another may do as well.
import { describe, expect, test } from "vitest";
import { createRig } from "./rig.ts";

const SECOND = 1_000;

test("a job that runs far longer than the visibility stays ours", async () => {
  const rig = createRig({ visibilitySeconds: 30 });
  await rig.send("a");
  rig.puller.start();
  await rig.clock.advance(300 * SECOND);
  expect(rig.runs).toHaveLength(1);
  rig.run("a").finish();
  await rig.clock.advance(SECOND);
  expect(rig.queue.messages).toEqual([]);
  expect(rig.deliveries).toHaveLength(1);
});

test("messages that wait for a slot are kept as well", async () => {
  const rig = createRig({ slots: 1, prefetch: 2 });
  for (const name of ["a", "b", "c"]) await rig.send(name);
  rig.puller.start();
  await rig.clock.advance(200 * SECOND);
  expect(rig.queue.messages.map(({ receiveCount }) => receiveCount)).toEqual([1, 1, 1]);
});

test("a renewal that fails is tried again before the lease runs out", async () => {
  const rig = createRig({ visibilitySeconds: 30 });
  await rig.send("a");
  rig.puller.start();
  await rig.clock.advance(5 * SECOND);
  for (let i = 0; i < 5; i++) rig.queue.next("extend", { is: "fail" });
  await rig.clock.advance(60 * SECOND);
  expect(rig.run("a").signal.aborted).toBe(false);
  expect(rig.queue.messages[0]?.receiveCount).toBe(1);
});

describe("a lease that is lost", () => {
  test("aborts its job, which then neither stores, delivers nor deletes", async () => {
    const rig = createRig({ slots: 1, prefetch: 0 });
    await rig.send("a");
    rig.puller.start();
    await rig.clock.advance(SECOND);
    const first = rig.run("a");
    rig.queue.takeAway(rig.queue.messages[0]!.id);
    const [theirs] = await rig.queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 600 });
    await rig.clock.advance(15 * SECOND);
    expect(first.signal.aborted).toBe(true);
    first.finish();
    await rig.clock.advance(SECOND);
    expect(rig.stored("a")).toBeNull();
    expect(rig.deliveries).toEqual([]);
    expect(rig.queue.messages[0]?.receipt).toBe(theirs?.receipt);
    expect(rig.endOf("a")).toBeUndefined();
  });

  test("is noticed at the last moment too: a process that was stopped asks before it acts", async () => {
    const rig = createRig({ visibilitySeconds: 30 });
    await rig.send("a");
    rig.puller.start();
    await rig.clock.advance(SECOND);
    // The machine slept: the wall clock went on, timers did not. Another worker has done the job meanwhile.
    rig.clock.epoch += 120 * SECOND;
    rig.queue.takeAway(rig.queue.messages[0]!.id);
    const [theirs] = await rig.queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 600 });
    rig.run("a").finish();
    await rig.clock.advance(SECOND);
    expect(rig.stored("a")).toBeNull();
    expect(rig.deliveries).toEqual([]);
    expect(rig.queue.messages[0]?.receipt).toBe(theirs?.receipt);
  });

  test("was not lost when nobody took the message: the work is finished", async () => {
    const rig = createRig({ visibilitySeconds: 30 });
    await rig.send("a");
    rig.puller.start();
    await rig.clock.advance(SECOND);
    rig.clock.epoch += 25 * SECOND;
    rig.run("a").finish();
    await rig.clock.advance(SECOND);
    expect(rig.stored("a")?.status).toBe("succeeded");
    expect(rig.queue.messages).toEqual([]);
  });
});

test("a delete that fails is tried again until it is done", async () => {
  const rig = createRig();
  await rig.send("a");
  rig.puller.start();
  await rig.clock.advance(SECOND);
  rig.queue.next("remove", { is: "fail" }).next("remove", { is: "entries", fail: [0] });
  rig.run("a").finish();
  await rig.clock.advance(5 * SECOND);
  expect(rig.queue.messages).toEqual([]);
  expect(rig.runs).toHaveLength(1);
});
