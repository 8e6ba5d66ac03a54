// One message with many records becomes many jobs: what a stop, a failure and a second try do to it.
import { describe, expect, test } from "vitest";
import { silentLog } from "../../worker/logging/log.ts";
import { createRig, type Rig, type RigOptions } from "../rig.ts";

const rules = [{ prefix: "in/", kind: "work", input: { name: "$object" } }];
const recordsOf = (count: number) =>
  Array.from({ length: count }, (_, index) => ({
    s3: { bucket: { name: "kamado" }, object: { key: `in/${index}` } },
  }));
const event = (count: number) => JSON.stringify({ Records: recordsOf(count) });

/** No slot is left for the jobs, so they stay in the queue. */
async function rigWith(count: number, options: RigOptions = {}) {
  const rig = createRig({ rules, slots: 1, prefetch: 0, ...options });
  const message = await rig.queue.send(event(count), { group: "g" });
  return { ...rig, message };
}
const jobsIn = ({ queue }: Pick<Rig, "queue">) =>
  queue.messages.filter(({ body }) => !body.includes("Records")).map(({ body }) => JSON.parse(body));
const idsIn = (rig: Pick<Rig, "queue">): string[] => jobsIn(rig).map(({ id }) => id);
const idsOf = (message: string, count: number) =>
  Array.from({ length: count }, (_, index) => `${message}.${index}`);
const slow = ({ queue }: Pick<Rig, "queue">, ms: number, calls: number) => {
  for (let call = 0; call < calls; call += 1) queue.next("sendAll", { is: "delay", ms });
};
/** Another worker on the same queue and bucket. */
const another = ({ clock, queue, bucket, dead }: Rig, more: RigOptions = {}) =>
  createRig({ rules, slots: 1, prefetch: 0, shared: { clock, queue, bucket, dead }, ...more });
const progressIn = ({ bucket }: Pick<Rig, "bucket">) =>
  [...bucket.objects.keys()].filter((key) => key.includes("/split/"));

test("an event of 1,000 records becomes 1,000 jobs in 100 calls", async () => {
  const rig = await rigWith(1_000);
  rig.consumer.start();
  await rig.clock.advance(10);
  expect(rig.queue.calls.sendAll).toBe(100);
  expect(idsIn(rig)).toEqual(idsOf(rig.message, 1_000));
  expect(rig.endOf(rig.message)).toMatchObject({ outcome: "ignored", ending: "delete" });
  expect(progressIn(rig)).toEqual([]);
});

describe("a stop in the middle of an event", () => {
  test("waits for one call, and the message goes back at once", async () => {
    const rig = await rigWith(1_000);
    // As a queue that takes 112 s for the event.
    slow(rig, 1_120, 100);
    rig.consumer.start();
    await rig.clock.advance(5_000);
    const asked = rig.clock.now();
    let stoppedAt = Number.POSITIVE_INFINITY;
    void rig.worker.stop().then(() => (stoppedAt = rig.clock.now()));
    await rig.clock.advance(60_000);
    // The rest of the call under way, and the moment in which acks are gathered.
    expect(stoppedAt - asked).toBeLessThanOrEqual(1_120 + 50);
    expect(idsIn(rig)).toEqual(idsOf(rig.message, 50));
    expect(rig.queue.messages.find(({ id }) => id === rig.message)).toMatchObject({ handle: null });
  });

  test("is continued where it ended: no job is sent twice", async () => {
    const rig = await rigWith(1_000);
    slow(rig, 1_120, 5);
    rig.consumer.start();
    await rig.clock.advance(3_000);
    await Promise.all([rig.worker.stop(), rig.clock.advance(2_000)]);
    expect(progressIn(rig)).toHaveLength(1);
    const next = another(rig);
    // The event stands first in the queue.
    next.consumer.start();
    await rig.clock.advance(3_000);
    expect(idsIn(rig)).toEqual(idsOf(rig.message, 1_000));
    expect(progressIn(rig)).toEqual([]);
  });
});

describe("a queue that takes a batch only in part", () => {
  test("gets the rest at the next try, and a job that it has twice runs once", async () => {
    const rig = await rigWith(30, { slots: 4 });
    rig.queue.next("sendAll", { is: "delay", ms: 0 }).next("sendAll", { is: "entries", fail: [3, 4] });
    rig.consumer.start();
    await rig.clock.advance(1);
    for (let round = 0; round < 60; round += 1) {
      for (const run of rig.runs) run.finish();
      await rig.clock.advance(1_000);
    }
    const names = rig.runs.map(({ input }) => input.name);
    expect(names.toSorted()).toEqual(
      recordsOf(30)
        .map(({ s3 }) => `s3://kamado/${s3.object.key}`)
        .toSorted(),
    );
    expect(rig.queue.messages).toEqual([]);
  });
});

test("a lost lease ends the work, and leaves no progress for the worker that has the event now", async () => {
  const rig = await rigWith(200, { visibilitySeconds: 3 });
  slow(rig, 1_000, 20);
  rig.consumer.start();
  await rig.clock.advance(500);
  rig.queue.takeAway(rig.message);
  await rig.queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 3_600 });
  await rig.clock.advance(10_000);
  expect(jobsIn(rig).length).toBeLessThan(100);
  expect(progressIn(rig)).toEqual([]);
});

test("progress counts for these jobs only: another event under the same id skips none", async () => {
  const rig = await rigWith(50);
  const of = "0".repeat(64);
  await rig.bucket.put(`split/${rig.message}.json`, JSON.stringify({ sent: 40, of }), {
    contentType: "application/json",
  });
  await rig.queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 0 });
  rig.consumer.start();
  await rig.clock.advance(10);
  expect(idsIn(rig)).toEqual(idsOf(rig.message, 50));
});

test("in a FIFO queue the jobs keep their order and the group of their event, though a call fails", async () => {
  const rig = await rigWith(20, { fifo: true });
  rig.queue.next("sendAll", { is: "delay", ms: 0 }).next("sendAll", { is: "fail" });
  rig.consumer.start();
  await rig.clock.advance(60_000);
  expect(idsIn(rig)).toEqual(idsOf(rig.message, 20));
  expect(new Set(rig.queue.messages.map(({ group }) => group))).toEqual(new Set(["g"]));
});

test("elsewhere the jobs keep the tenant that the group of their event names", async () => {
  const rig = await rigWith(3);
  rig.consumer.start();
  await rig.clock.advance(1_000);
  expect(rig.worker.state().tenants).toMatchObject([{ name: "g", running: 1, waiting: 2 }]);
});

test("an event with more records than the owner allows is dead-lettered with its reason, and none becomes a job", async () => {
  const rig = await rigWith(11, { budgets: { records: 10 } });
  rig.consumer.start();
  await rig.clock.advance(100);
  expect(rig.queue.messages).toEqual([]);
  expect(rig.queue.calls.sendAll).toBe(0);
  expect(rig.dead.messages).toMatchObject([
    { body: event(11), attributes: { "kamado-code": "budget_exceeded" } },
  ]);
  expect(rig.dead.messages[0]!.attributes["kamado-reason"]).toMatch(/11;.* 10\. KAMADO_MAX_EVENT_RECORDS/);
});

test("an event of which a job is too long for a message is dead-lettered at once", async () => {
  const long = [{ prefix: "in/", kind: "work", input: { name: "$object", more: "x".repeat(1024 * 1024) } }];
  const rig = await rigWith(2, { rules: long });
  rig.consumer.start();
  await rig.clock.advance(100);
  expect(rig.dead.messages).toMatchObject([{ attributes: { "kamado-code": "body_too_large" } }]);
  expect(rig.queue.messages).toEqual([]);
});

describe("a record that is no job", () => {
  const mixed = (more: object[] = []) =>
    JSON.stringify({
      Records: [{ s3: { bucket: { name: "kamado" }, object: { key: "other/x" } } }, ...recordsOf(2), ...more],
    });
  const removed = {
    eventName: "ObjectRemoved:Delete",
    s3: { bucket: { name: "kamado" }, object: { key: "in/gone" } },
  };

  test("is dead-lettered alone, and the others run", async () => {
    const rig = createRig({ rules });
    const message = await rig.queue.send(mixed());
    rig.consumer.start();
    await rig.clock.advance(100);
    expect(rig.runs.map(({ input }) => input.name)).toEqual(["s3://kamado/in/0", "s3://kamado/in/1"]);
    for (const run of rig.runs) run.finish();
    await rig.clock.advance(1_000);
    expect(rig.queue.messages).toEqual([]);
    expect(rig.dead.messages).toMatchObject([
      {
        body: JSON.stringify({
          Records: [{ s3: { bucket: { name: "kamado" }, object: { key: "other/x" } } }],
        }),
        attributes: {
          "kamado-code": "no_rule_for_object",
          "kamado-message": `${message}.0`,
          "kamado-queue": "jobs",
        },
      },
    ]);
  });

  test("is the job of its own record when it is sent back after its rule was written", async () => {
    const rig = createRig({ rules: rules.map((rule) => ({ ...rule, prefix: "in/1" })) });
    const message = await rig.queue.send(event(2));
    rig.consumer.start();
    await rig.clock.advance(100);
    const [{ body, attributes } = { body: "", attributes: {} }] = rig.dead.messages;
    const next = createRig({ rules });
    await next.queue.send(body, { attributes });
    next.consumer.start();
    await next.complete("s3://kamado/in/0");
    expect(next.stored(`${message}.0`)).toMatchObject({ status: "succeeded" });
  });

  test("stays with its message as long as the dead-letter queue does not answer", async () => {
    const rig = createRig({ rules });
    rig.dead.next("send", { is: "fail" });
    const message = await rig.queue.send(mixed());
    rig.consumer.start();
    await rig.clock.advance(100);
    expect(rig.dead.messages).toEqual([]);
    expect(rig.queue.messages.some(({ id }) => id === message)).toBe(true);
    for (const run of rig.runs) run.finish();
    await rig.clock.advance(60_000);
    expect(rig.dead.messages).toHaveLength(1);
    // Its jobs were sent twice, and ran once.
    expect(rig.runs).toHaveLength(2);
    expect(rig.queue.messages).toEqual([]);
  });

  test("is left to the worker that has the event now", async () => {
    const rig = await rigWith(1, { visibilitySeconds: 3 });
    rig.queue.takeAway(rig.message);
    await rig.queue.remove(
      (await rig.queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 60 })).map(
        ({ handle }) => handle,
      ),
    );
    const message = await rig.queue.send(mixed());
    slow(rig, 5_000, 1);
    rig.consumer.start();
    await rig.clock.advance(500);
    rig.queue.takeAway(message);
    await rig.queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 3_600 });
    await rig.clock.advance(10_000);
    expect(rig.dead.messages).toEqual([]);
  });

  test("holds up a stop by one call at most, however many there are", async () => {
    const rig = createRig({ rules: rules.map((rule) => ({ ...rule, prefix: "in/none" })) });
    for (let call = 0; call < 100; call += 1) rig.dead.next("send", { is: "delay", ms: 1_000 });
    const message = await rig.queue.send(event(100));
    rig.consumer.start();
    await rig.clock.advance(5_500);
    let hasStopped = false;
    void rig.worker.stop().then(() => (hasStopped = true));
    await rig.clock.advance(1_100);
    expect(hasStopped).toBe(true);
    expect(rig.dead.messages).toHaveLength(6);
    expect(rig.queue.messages.map(({ id }) => id)).toEqual([message]);
  });

  test("because it creates nothing is only a line in the log", async () => {
    const lines: unknown[] = [];
    const info = (_: unknown, text?: unknown) => void lines.push(text);
    const rig = createRig({
      rules,
      log: { ...silentLog, info },
    });
    const alone = JSON.stringify({ Records: [removed] });
    await rig.queue.send(alone);
    await rig.queue.send(mixed([removed, removed]));
    rig.consumer.start();
    await rig.clock.advance(100);
    expect(lines).toContain("ignored: ObjectRemoved:Delete creates no object");
    expect(lines).toContain(
      "ignored: split into 2 jobs; 1 dead-lettered; 2 ignored: ObjectRemoved:Delete creates no object",
    );
    for (const run of rig.runs) run.finish();
    await rig.clock.advance(1_000);
    expect([rig.dead.messages.length, rig.queue.messages.length]).toEqual([1, 0]);
  });
});
