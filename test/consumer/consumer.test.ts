// Pulling and stopping: slots are kept busy, others are not robbed, and a stop loses nothing.
import { getEventListeners } from "node:events";
import { describe, expect, test } from "vitest";
import { ConcurrencyLimit } from "../../worker/consumer/concurrency-limit.ts";
import { Consumer } from "../../worker/consumer/consumer.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeQueue } from "../fakes/queue.ts";
import { createRig } from "../rig.ts";

const SECOND = 1_000;

test("no more messages run at once than there are slots, and a free slot is filled at once", async () => {
  const rig = createRig({ slots: 2, prefetch: 2 });
  for (const name of ["a", "b", "c", "d", "e"]) await rig.send(name);
  rig.consumer.start();
  await rig.clock.advance(100);
  expect(rig.runs.map(({ input }) => input.name)).toEqual(["a", "b"]);
  rig.run("a").finish();
  await rig.clock.advance(100);
  expect(rig.runs.map(({ input }) => input.name)).toEqual(["a", "b", "c"]);
  expect(rig.consumer.running).toBe(2);
});

test.each([
  ["8 slots when the engine does not say", {}, undefined, 8, 8],
  ["the engine's number", {}, 4, 4, 4],
  ["what is configured, whatever the engine says", { slots: 3, prefetch: 1 }, 16, 3, 1],
  ["the engine's number beside a configured waiting room", { prefetch: 2 }, 4, 4, 2],
])("a worker runs %s", (_, { slots, prefetch }: { slots?: number; prefetch?: number }, told, ...expected) => {
  const concurrency = new ConcurrencyLimit({ slots, prefetch }, { clock: new FakeClock(), log: silentLog });
  concurrency.setEngineSlots(told);
  concurrency.setEngineSlots(undefined);
  expect([concurrency.slots, concurrency.prefetch]).toEqual(expected);
});

test("as many run as the engine has slots, once the engine reports them", async () => {
  const rig = createRig({ slots: undefined, prefetch: 0, engine: { isUp: true, slots: 1 } });
  for (const name of ["a", "b", "c"]) await rig.send(name);
  rig.consumer.start();
  await rig.clock.advance(100);
  expect(rig.runs.map(({ input }) => input.name)).toEqual(["a"]);
});

test("of the messages that wait, the one with the highest priority starts first", async () => {
  const rig = createRig({ slots: 1, prefetch: 5 });
  await rig.send("normal");
  await rig.send("urgent", { policy: { priority: 9 } });
  rig.consumer.start();
  await rig.clock.advance(100);
  expect(rig.runs.map(({ input }) => input.name)).toEqual(["urgent"]);
});

test("nothing is pulled before the engine answers", async () => {
  const engine = { isUp: false };
  const rig = createRig({ engine });
  await rig.send("a");
  rig.consumer.start();
  await rig.clock.advance(60 * SECOND);
  expect(rig.queue.calls.receive).toBe(0);
  engine.isUp = true;
  await rig.clock.advance(15 * SECOND);
  expect(rig.runs).toHaveLength(1);
});

test("a message that was pulled while the engine went down waits for it, keeps its lease and loses no attempt", async () => {
  const engine = { isUp: true };
  const rig = createRig({ engine });
  rig.consumer.start();
  await rig.clock.advance(SECOND);
  engine.isUp = false;
  rig.health.engine.lost();
  await rig.send("a");
  await rig.clock.advance(120 * SECOND);
  expect(rig.runs).toEqual([]);
  engine.isUp = true;
  await rig.clock.advance(15 * SECOND);
  expect(rig.runs).toHaveLength(1);
  expect(rig.queue.messages[0]?.receiveCount).toBe(1);
});

test("when the engine stays down, waiting messages go back for other workers", async () => {
  const engine = { isUp: true };
  const rig = createRig({ engine });
  rig.consumer.start();
  await rig.clock.advance(SECOND);
  engine.isUp = false;
  rig.health.engine.lost();
  await rig.send("a");
  await rig.clock.advance(400 * SECOND);
  expect(rig.consumer.waiting).toBe(0);
  const { clock, queue, bucket, dead } = rig;
  const other = createRig({ shared: { clock, queue, bucket, dead } });
  other.consumer.start();
  await other.complete("a");
  expect(rig.stored("a")?.status).toBe("succeeded");
});

test("a worker that sleeps again and again waits for the stop with no more listeners than before", async () => {
  const clock = new FakeClock();
  const queue = new FakeQueue("jobs", { clock });
  let stopping: AbortSignal | undefined;
  const health = {
    isHealthy: true,
    healthy: async (signal: AbortSignal) => {
      stopping = signal;
    },
  };
  const consumer = new Consumer({
    queue,
    concurrency: { slots: 2, prefetch: 0 },
    visibilitySeconds: 30,
    pollSeconds: 1,
    work: async () => {
      await clock.sleep(3_600 * SECOND);
      return "delete";
    },
    health: [health],
    clock,
    log: silentLog,
  });
  await queue.send("a");
  consumer.start();
  const listeners: number[] = [];
  for (let nap = 0; nap < 5; nap++) {
    await clock.advance(20 * SECOND);
    listeners.push(getEventListeners(stopping!, "abort").length);
    clock.epoch += 5 * SECOND;
  }
  expect(queue.messages[0]?.receiveCount).toBe(1);
  expect(listeners).toEqual(Array(5).fill(listeners[0]));
});

describe("work that frees its slot before it ends", () => {
  /** Every message frees its slot at once and ends when the test says so. */
  function freeing(slots: number) {
    const clock = new FakeClock();
    const queue = new FakeQueue("jobs", { clock });
    const end = Promise.withResolvers<void>();
    const consumer = new Consumer({
      queue,
      concurrency: { slots, prefetch: 0 },
      visibilitySeconds: 30,
      pollSeconds: 1,
      work: async (_, { freeSlot }) => {
        await clock.sleep(1);
        freeSlot();
        freeSlot();
        await end.promise;
        freeSlot();
        return "delete";
      },
      clock,
      log: silentLog,
    });
    return { clock, queue, consumer, end };
  }

  test("lets others start, and frees it once", async () => {
    const { clock, queue, consumer, end } = freeing(2);
    for (let i = 0; i < 5; i++) await queue.send(`${i}`);
    consumer.start();
    await clock.advance(SECOND);
    expect([consumer.running, consumer.finishing]).toEqual([0, 5]);
    end.resolve();
    await clock.advance(SECOND);
    expect([consumer.running, consumer.finishing, queue.messages.length]).toEqual([0, 0, 0]);
  });

  test("keeps it when too many do so, so that a worker holds a bounded number of messages", async () => {
    const { clock, queue, consumer, end } = freeing(2);
    for (let i = 0; i < 100; i++) await queue.send(`${i}`);
    consumer.start();
    await clock.advance(60 * SECOND);
    expect([consumer.running, consumer.finishing]).toEqual([2, 64]);
    end.resolve();
    await clock.advance(30 * SECOND);
    expect([consumer.running, consumer.finishing, queue.messages.length]).toEqual([0, 0, 0]);
  });
});

describe("a queue that cannot be reached", () => {
  test("is polled less and less often, the state says why, and work continues when it answers", async () => {
    const rig = createRig();
    for (let i = 0; i < 200; i++) rig.queue.next("receive", { is: "fail", health: "credentials" });
    rig.consumer.start();
    await rig.clock.advance(60 * SECOND);
    expect(rig.consumer.health).toBe("credentials");
    expect(rig.queue.calls.receive).toBeLessThan(30);
  });

  test("for a while only: the next poll after it is back works", async () => {
    const rig = createRig();
    for (let i = 0; i < 4; i++) rig.queue.next("receive", { is: "fail", health: "network" });
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(30 * SECOND);
    expect(rig.consumer.health).toBe("ok");
    expect(rig.runs).toHaveLength(1);
  });
});

describe("a stop", () => {
  test("gives back at once what has not started, and lets what runs finish", async () => {
    const rig = createRig({ slots: 1, prefetch: 3 });
    for (const name of ["a", "b", "c"]) await rig.send(name);
    rig.consumer.start();
    await rig.clock.advance(100);
    const stopped = rig.consumer.stop(30 * SECOND);
    await rig.clock.advance(100);
    const others = await rig.queue.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 30 });
    expect(others.map(({ body }) => JSON.parse(body).id)).toEqual(["b", "c"]);
    rig.run("a").finish();
    await rig.clock.advance(15 * SECOND);
    await stopped;
    expect(rig.stored("a")?.status).toBe("succeeded");
    expect(rig.queue.messages).toHaveLength(2);
  });

  test("lets the open poll return and gives back what it brought", async () => {
    const rig = createRig();
    rig.consumer.start();
    await rig.clock.advance(SECOND);
    const stopped = rig.consumer.stop(30 * SECOND);
    await rig.send("late");
    await rig.clock.advance(SECOND);
    await stopped;
    expect(rig.runs).toEqual([]);
    expect(await rig.queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 30 })).toHaveLength(1);
  });

  test("cuts what still runs at the deadline; another worker can have that job at once", async () => {
    const rig = createRig();
    await rig.send("endless");
    rig.consumer.start();
    await rig.clock.advance(100);
    const stopped = rig.consumer.stop(5 * SECOND);
    await rig.clock.advance(12 * SECOND);
    await stopped;
    expect(rig.run("endless").signal.aborted).toBe(true);
    expect(rig.stored("endless")).toBeNull();
    // Given back, it may come with our own last poll once more; then it goes back again.
    const [again] = await rig.queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 30 });
    expect(again?.receiveCount).toBeGreaterThan(1);
  });

  test("may be called twice, and before a start", async () => {
    const rig = createRig();
    await Promise.all([rig.consumer.stop(SECOND), rig.consumer.stop(SECOND)]);
    rig.consumer.start();
    await rig.clock.advance(SECOND);
    expect(rig.queue.calls.receive).toBe(0);
  });
});

test("jobs of one group run one after the other, other groups beside them", async () => {
  const rig = createRig({ slots: 4, prefetch: 4, fifo: true });
  for (const name of ["a1", "a2"]) await rig.send(name, {}, "a");
  await rig.send("b1", {}, "b");
  rig.consumer.start();
  await rig.clock.advance(100);
  expect(rig.runs.map(({ input }) => input.name).toSorted()).toEqual(["a1", "b1"]);
  rig.run("a1").finish();
  await rig.clock.advance(1_000);
  expect(rig.runs.at(-1)?.input.name).toBe("a2");
});

test("in a queue that is not FIFO, jobs of one group run side by side: the group is their tenant", async () => {
  const rig = createRig({ slots: 3, prefetch: 3 });
  for (const name of ["a1", "a2", "a3", "a4"]) await rig.send(name, {}, "a");
  await rig.send("b1", {}, "b");
  rig.consumer.start();
  await rig.clock.advance(100);
  expect(rig.runs.map(({ input }) => input.name)).toEqual(["a1", "b1", "a2"]);
  expect(rig.consumer.tenants).toEqual([
    { tenant: "a", waiting: 2, running: 2 },
    { tenant: "b", waiting: 0, running: 1 },
  ]);
});

test("a stop ends in time though the queue cannot be reached", async () => {
  const rig = createRig({ slots: 1, prefetch: 2, visibilitySeconds: 3_600 });
  for (const name of ["a", "b"]) await rig.send(name);
  rig.consumer.start();
  await rig.clock.advance(100);
  for (let i = 0; i < 500; i++) rig.queue.next("extend", { is: "fail" });
  let hasStopped = false;
  void rig.consumer.stop(30 * SECOND).then(() => (hasStopped = true));
  await rig.clock.advance(60 * SECOND);
  expect(hasStopped).toBe(true);
});
