// Heartbeat: whose message it is. A worker that is not certain does nothing that another may do as well.
import { describe, expect, test } from "vitest";
import { wasSuspended } from "../../worker/consumer/suspend-detector.ts";
import type { Delivery } from "../../worker/deliver/deliver.ts";
import { KamadoError } from "../../worker/errors.ts";
import { createRig, type Rig } from "../rig.ts";

const SECOND = 1_000;

test("a lease is renewed while its job runs, however much longer than the visibility", async () => {
  const rig = createRig({ visibilitySeconds: 30 });
  await rig.send("a");
  rig.consumer.start();
  await rig.clock.advance(300 * SECOND);
  expect(rig.runs).toHaveLength(1);
  rig.run("a").finish();
  await rig.clock.advance(SECOND);
  expect(rig.queue.messages).toEqual([]);
  expect(rig.deliveries).toHaveLength(1);
});

test("leases of messages that wait for a slot are renewed too", async () => {
  const rig = createRig({ slots: 1, prefetch: 2 });
  for (const name of ["a", "b", "c"]) await rig.send(name);
  rig.consumer.start();
  await rig.clock.advance(200 * SECOND);
  expect(rig.queue.messages.map(({ receiveCount }) => receiveCount)).toEqual([1, 1, 1]);
});

test("a renewal that fails is tried again before the lease runs out", async () => {
  const rig = createRig({ visibilitySeconds: 30 });
  await rig.send("a");
  rig.consumer.start();
  await rig.clock.advance(5 * SECOND);
  for (let i = 0; i < 5; i++) rig.queue.next("extend", { is: "fail" });
  await rig.clock.advance(60 * SECOND);
  expect(rig.run("a").signal.aborted).toBe(false);
  expect(rig.queue.messages[0]?.receiveCount).toBe(1);
});

test("a wait until the next attempt is not cut short by a renewal that was under way", async () => {
  const rig = createRig({ visibilitySeconds: 30 });
  await rig.send("a");
  rig.consumer.start();
  await rig.clock.advance(9 * SECOND);
  rig.queue.next("extend", { is: "delay", ms: 3 * SECOND });
  await rig.clock.advance(1.5 * SECOND);
  rig.run("a").fail(new KamadoError("fetch_failed", "503", { detail: { retryAfterMs: 600 * SECOND } }));
  await rig.clock.advance(590 * SECOND);
  expect(rig.runs).toHaveLength(1);
  await rig.clock.advance(30 * SECOND);
  expect(rig.runs).toHaveLength(2);
});

describe("a lease that is lost", () => {
  test("aborts its job, which then neither stores, delivers nor deletes", async () => {
    const rig = createRig({ slots: 1, prefetch: 0 });
    await rig.send("a");
    rig.consumer.start();
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
    expect(rig.queue.messages[0]?.handle).toBe(theirs?.handle);
    expect(rig.endOf("a")).toMatchObject({ outcome: "interrupted", ending: "leave" });
  });

  test("is noticed before the next effect: a process that was stopped asks the queue first", async () => {
    const rig = createRig({ visibilitySeconds: 30 });
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(SECOND);
    // The machine slept: the wall clock went on, timers did not. Another worker has done the job meanwhile.
    rig.clock.epoch += 120 * SECOND;
    rig.queue.takeAway(rig.queue.messages[0]!.id);
    const [theirs] = await rig.queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 600 });
    rig.run("a").finish();
    await rig.clock.advance(SECOND);
    expect(rig.stored("a")).toBeNull();
    expect(rig.deliveries).toEqual([]);
    expect(rig.queue.messages[0]?.handle).toBe(theirs?.handle);
  });

  test("stops a delivery that waits for its turn; it goes neither to the outbox nor to the dead letters", async () => {
    const sent: string[] = [];
    const deliver = async ({ signal, job }: Delivery) => {
      await new Promise((resolve, reject) => {
        signal!.addEventListener("abort", () => reject(signal!.reason));
        void rig.clock.sleep(60 * SECOND).then(resolve);
      });
      sent.push(job.id);
    };
    const rig: Rig = createRig({ visibilitySeconds: 30, deliver });
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(SECOND);
    rig.run("a").finish();
    await rig.clock.advance(SECOND);
    rig.queue.takeAway(rig.queue.messages[0]!.id);
    const [theirs] = await rig.queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 600 });
    await rig.clock.advance(120 * SECOND);
    expect(sent).toEqual([]);
    expect([rig.outbox.messages, rig.deadDeliveries.messages]).toEqual([[], []]);
    expect(rig.queue.messages[0]?.handle).toBe(theirs?.handle);
  });

  test("is noticed by a delivery that waits for its turn while the process is stopped", async () => {
    const asked: (boolean | undefined)[] = [];
    const deliver = async ({ isOurs }: Delivery) => {
      await rig.clock.sleep(10 * SECOND);
      asked.push(await isOurs?.());
      throw new KamadoError("lease_lost", "gone");
    };
    const rig: Rig = createRig({ visibilitySeconds: 30, deliver });
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(SECOND);
    rig.run("a").finish();
    await rig.clock.advance(SECOND);
    rig.clock.epoch += 120 * SECOND;
    rig.queue.takeAway(rig.queue.messages[0]!.id);
    const [theirs] = await rig.queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 600 });
    await rig.clock.advance(60 * SECOND);
    expect(asked).toEqual([false]);
    expect([rig.outbox.messages, rig.deadDeliveries.messages]).toEqual([[], []]);
    expect(rig.queue.messages[0]?.handle).toBe(theirs?.handle);
  });

  test("is not lost if no other worker took the message meanwhile: the work is finished", async () => {
    const rig = createRig({ visibilitySeconds: 30 });
    await rig.send("a");
    rig.consumer.start();
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
  rig.consumer.start();
  await rig.clock.advance(SECOND);
  rig.queue.next("remove", { is: "fail" }).next("remove", { is: "entries", fail: [0] });
  rig.run("a").finish();
  await rig.clock.advance(5 * SECOND);
  expect(rig.queue.messages).toEqual([]);
  expect(rig.runs).toHaveLength(1);
});

test("a delete is not tried again when another worker has taken the message meanwhile", async () => {
  const rig = createRig({ visibilitySeconds: 30 });
  await rig.send("a");
  rig.consumer.start();
  await rig.clock.advance(SECOND);
  rig.queue.next("remove", { is: "fail" });
  rig.run("a").finish();
  await rig.clock.advance(100);
  rig.clock.epoch += 60 * SECOND;
  rig.queue.takeAway(rig.queue.messages[0]!.id);
  const [theirs] = await rig.queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 600 });
  await rig.clock.advance(30 * SECOND);
  expect(rig.queue.calls.remove).toBe(1);
  expect(rig.queue.messages[0]?.handle).toBe(theirs?.handle);
});

test("a lease that cannot be renewed does not keep others from being renewed", async () => {
  const rig = createRig({ slots: 2, visibilitySeconds: 30 });
  await rig.send("a");
  await rig.send("b");
  rig.consumer.start();
  await rig.clock.advance(5 * SECOND);
  const [first, isFirst] = [rig.run("a"), { is: "entries", fail: [0] } as const];
  for (let i = 0; i < 21; i++) rig.queue.next("extend", isFirst);
  await rig.clock.advance(45 * SECOND);
  expect(first.signal.aborted).toBe(true);
  expect(rig.run("b").signal.aborted).toBe(false);
});

test("many messages are renewed with one call", async () => {
  const rig = createRig({ slots: 10, prefetch: 0, visibilitySeconds: 30 });
  for (let i = 0; i < 10; i++) await rig.send(`job-${i}`);
  rig.consumer.start();
  await rig.clock.advance(29 * SECOND);
  expect(rig.queue.calls.extend).toBe(2);
});

describe("a machine that slept", () => {
  test("asks whether its messages are still its own before it polls for others", async () => {
    const rig = createRig({ visibilitySeconds: 60 });
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(SECOND);
    rig.clock.epoch += 40 * SECOND;
    rig.queue.next("extend", { is: "delay", ms: 9_000 });
    const polls = rig.queue.calls.receive;
    await rig.clock.advance(12 * SECOND);
    expect(rig.queue.calls).toMatchObject({ extend: 1, receive: polls });
    await rig.clock.advance(3 * SECOND);
    expect(rig.queue.calls.receive).toBe(polls + 1);
  });

  test("and gets its network back later keeps messages that no other worker can have yet", async () => {
    const rig = createRig({ visibilitySeconds: 60 });
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(SECOND);
    rig.clock.epoch += 20 * SECOND;
    for (let i = 0; i < 6; i++) rig.queue.next("extend", { is: "fail" });
    rig.run("a").finish();
    await rig.clock.advance(SECOND);
    expect(rig.stored("a")).toBeNull();
    await rig.clock.advance(20 * SECOND);
    expect(rig.stored("a")?.status).toBe("succeeded");
  });

  test("does not trust an answer from before its sleep", async () => {
    const rig = createRig({ visibilitySeconds: 60 });
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(SECOND);
    rig.queue.next("extend", { is: "delay", ms: 5_000 });
    await rig.clock.advance(20 * SECOND);
    rig.clock.epoch += 10 * SECOND;
    await rig.clock.advance(6 * SECOND);
    expect(rig.queue.calls.extend).toBe(2);
  });

  const awake = { now: 1_000, wall: 50_000 };
  test.each([
    ["both clocks went on as they should", { now: 5_000, wall: 5_000 }, false],
    ["a busy event loop was late", { now: 7_000, wall: 7_000 }, false],
    ["the monotonic clock stood still", { now: 5_000, wall: 65_000 }, true],
    ["both went on, and the look came far too late", { now: 125_000, wall: 125_000 }, true],
    ["the wall clock was set back", { now: 5_000, wall: -60_000 }, true],
  ])("is detected by its clocks: %s", (_, { now, wall }, expected) => {
    expect(wasSuspended(awake, { now: awake.now + now, wall: awake.wall + wall }, 5_000)).toBe(expected);
  });
});

describe("after 12 hours, when SQS takes every message back", () => {
  const HOUR = 3_600 * SECOND;

  test("the job has failed: its result is stored and delivered, its message deleted", async () => {
    // A job may run for 11 hours; it waited for the engine before.
    const rig = createRig({ visibilitySeconds: 3_600, timeoutSeconds: 13 * 3_600 });
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(11.9 * HOUR);
    expect(rig.run("a").signal.aborted).toBe(false);
    await rig.clock.advance(0.1 * HOUR);
    expect(rig.stored("a")).toMatchObject({ status: "failed", error: { code: "timed_out" } });
    expect(rig.deliveries).toHaveLength(1);
    expect(rig.queue.messages).toEqual([]);
  });

  test("the queue is never asked for more than is left", async () => {
    const rig = createRig({ visibilitySeconds: 43_200, timeoutSeconds: 13 * 3_600 });
    const asked: number[] = [];
    const { extend } = rig.queue;
    rig.queue.extend = (entries) => {
      for (const { seconds } of entries) asked.push(rig.clock.now() + seconds * SECOND);
      return extend.call(rig.queue, entries);
    };
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(13 * HOUR);
    expect(asked.length).toBeGreaterThan(0);
    expect(Math.max(...asked)).toBeLessThanOrEqual(12 * HOUR);
  });

  test("a message that has not started goes back, and its job does not fail", async () => {
    const engine = { isUp: true };
    const rig = createRig({ engine });
    rig.consumer.start();
    await rig.clock.advance(SECOND);
    engine.isUp = false;
    rig.health.engine.lost();
    await rig.send("a");
    await rig.clock.advance(12.1 * HOUR);
    expect(rig.consumer.waiting).toBe(0);
    expect(rig.stored("a")).toBeNull();
    expect(rig.queue.messages).toMatchObject([{ receiveCount: 1 }]);
  });
});
