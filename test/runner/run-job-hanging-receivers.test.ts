// Receivers that do not answer cost only their own jobs: they hold no slot, no memory without bound, and no other delivery.
import { expect, test } from "vitest";
import { Pace } from "../../worker/deliver/pace.ts";
import { KamadoError } from "../../worker/errors.ts";
import { createRig, type Rig, type RigOptions } from "../rig.ts";

const SECOND = 1_000;
const FIRST_TRY_MS = 10 * SECOND;
const HONEST = { callback: "https://honest.example/hook" };
const silent = (number: number) => ({ callback: `https://silent-${number}.example/hook` });

/** A worker whose deliveries to silent receivers end with their time-out. `atMost` is how many were under way at once. */
function rigWithSilence(options: RigOptions = {}) {
  const seen = { now: 0, atMost: 0, isHonestDown: false };
  const rig: Rig = createRig({
    ...options,
    deliver: ({ destination, signal }) =>
      pace.run(destination, signal, async () => {
        seen.atMost = Math.max(seen.atMost, ++seen.now);
        if (JSON.stringify(destination).includes("silent")) await rig.clock.sleep(FIRST_TRY_MS, signal);
        seen.now -= 1;
        signal?.throwIfAborted();
        if (JSON.stringify(destination).includes("silent"))
          throw new KamadoError("delivery_failed", "the answer took too long");
        if (seen.isHonestDown)
          throw new KamadoError("delivery_failed", "503", { detail: { httpStatus: 503 } });
      }),
  });
  const pace = new Pace({ destinations: [], clock: rig.clock });
  return { rig, seen };
}

/** Ends every run as soon as it begins, until `until` holds or `seconds` have passed. */
async function workOff(rig: Rig, seconds: number, until: () => boolean = () => false): Promise<void> {
  let finished = 0;
  for (let step = 0; step < seconds * 10 && !until(); step++) {
    for (const run of rig.runs.slice(finished)) run.finish();
    finished = rig.runs.length;
    await rig.clock.advance(100);
  }
}

test("24 jobs for ten silent receivers: all slots are free while they are delivered, and the next job is done at once", async () => {
  const { rig, seen } = rigWithSilence({ slots: 8, prefetch: 8 });
  for (let i = 0; i < 24; i++) await rig.send(`s${i}`, { deliver: [silent(i % 10)] });
  await rig.send("honest", { deliver: [HONEST] });
  rig.consumer.start();
  await workOff(rig, 5);
  expect(rig.deliveries.map(({ job }) => job.id)).toEqual(["honest"]);
  expect(rig.consumer.running).toBe(0);
  expect(rig.consumer.finishing).toBe(20);
  expect(seen.atMost).toBeLessThanOrEqual(21);
  // What found no place is in the outbox already, and no try is counted for it.
  expect(rig.outbox.messages.map(({ body }) => JSON.parse(body).tries)).toEqual([0, 0, 0, 0]);
  await workOff(rig, 10);
  expect(rig.consumer.finishing).toBe(0);
  expect([rig.queue.messages.length, rig.outbox.messages.length]).toEqual([0, 24]);
});

test("many silent receivers do not fill the outbox's consumer either: a delivery to one that answers is made from it", async () => {
  const { rig, seen } = rigWithSilence({ slots: 8, prefetch: 8 });
  for (let i = 0; i < 100; i++) await rig.send(`s${i}`, { deliver: [silent(i)] });
  rig.consumer.start();
  await workOff(rig, 15);
  expect([rig.queue.messages.length, rig.outbox.messages.length]).toEqual([0, 100]);
  seen.isHonestDown = true;
  await rig.send("honest", { deliver: [HONEST] });
  await workOff(rig, 1);
  expect(rig.outbox.messages).toHaveLength(101);
  seen.isHonestDown = false;
  rig.outboxConsumer.start();
  await workOff(rig, 8);
  expect(rig.deliveries.map(({ job }) => job.id)).toEqual(["honest"]);
});

test("the lease of a job is renewed while its result is delivered, however long that takes", async () => {
  const { rig } = rigWithSilence({ visibilitySeconds: 3 });
  await rig.send("a", { deliver: [silent(0)] });
  rig.consumer.start();
  await rig.complete("a");
  await rig.clock.advance(8 * SECOND);
  expect(rig.queue.messages.map(({ receiveCount }) => receiveCount)).toEqual([1]);
  await rig.clock.advance(3 * SECOND);
  expect([rig.queue.messages.length, rig.outbox.messages.length]).toEqual([0, 1]);
});

test("a stop gives deliveries the time that running jobs get", async () => {
  const { rig } = rigWithSilence();
  await rig.send("a", { deliver: [silent(0)] });
  rig.consumer.start();
  await rig.complete("a");
  const stopping = rig.consumer.stop(30 * SECOND);
  await rig.clock.advance(25 * SECOND);
  await stopping;
  expect([rig.queue.messages.length, rig.outbox.messages.length]).toEqual([0, 1]);
});

test("at the deadline of a stop a delivery ends, and its job goes back at once; the next worker delivers the stored result", async () => {
  const { rig } = rigWithSilence();
  await rig.send("a", { deliver: [silent(0)] });
  rig.consumer.start();
  await rig.complete("a");
  const stopping = rig.consumer.stop(2 * SECOND);
  await rig.clock.advance(15 * SECOND);
  await stopping;
  expect([rig.queue.messages.length, rig.outbox.messages.length]).toEqual([1, 0]);
  const { clock, queue, bucket, dead, outbox } = rig;
  const next = createRig({ shared: { clock, queue, bucket, dead, outbox } });
  next.consumer.start();
  await clock.advance(30 * SECOND);
  expect([next.runs.length, next.deliveries.length, queue.messages.length]).toEqual([0, 1, 0]);
});

test("the next job of a message group waits for the delivery of the one before; other groups do not", async () => {
  const { rig } = rigWithSilence({ slots: 1, fifo: true });
  await rig.send("a1", { deliver: [silent(0)] }, "a");
  await rig.send("a2", { deliver: [HONEST] }, "a");
  await rig.send("b1", { deliver: [HONEST] }, "b");
  rig.consumer.start();
  await workOff(rig, 5);
  expect(rig.runs.map(({ input }) => input.name)).toEqual(["a1", "b1"]);
  await workOff(rig, 10);
  expect(rig.runs.map(({ input }) => input.name)).toEqual(["a1", "b1", "a2"]);
});

test("a job that must run alone does not wait for the deliveries of others, nor they for its own", async () => {
  const { rig } = rigWithSilence({ slots: 2 });
  await rig.bucket.put(
    "running/suspect.json",
    JSON.stringify({ worker: "w", token: "t", beat: 1, holdMs: 0, deaths: { beside: 2, alone: 0 } }),
    { contentType: "application/json" },
  );
  await rig.send("a", { deliver: [silent(0)] });
  await rig.send("suspect", { deliver: [silent(1)] });
  await rig.send("b", { deliver: [HONEST] });
  rig.consumer.start();
  await workOff(rig, 5);
  expect(rig.runs.map(({ input }) => input.name)).toEqual(["a", "suspect", "b"]);
  expect(rig.consumer.finishing).toBe(2);
});
