// Of two workers that have one job, one runs it and the other answers later, with the stored result.
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { jobHash } from "../../worker/job/job-hash.ts";
import type { LockRecord } from "../../worker/job-lock/lock.ts";
import { JobLocks } from "../../worker/job-lock/locks.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { FakeBucket } from "../fakes/bucket.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeQueue } from "../fakes/queue.ts";
import { createRig, type RigOptions } from "../rig.ts";

const MINUTE = 60_000;
const LOCK = "s3://kamado/running/a.json";
const KEY = "running/a.json";
const another: LockRecord = {
  worker: "another",
  token: "t",
  beat: 0,
  attempts: 0,
  holdMs: 20_000,
  deaths: { beside: 0, alone: 0 },
};

/** Two workers on one queue and one bucket. */
function two(options: RigOptions = {}) {
  const clock = new FakeClock();
  const queue = new FakeQueue("jobs", { clock });
  const shared = { clock, queue, bucket: new FakeBucket({ clock }), dead: new FakeQueue("dead", { clock }) };
  const workers = [createRig({ ...options, shared }), createRig({ ...options, shared })] as const;
  return { ...shared, workers, runs: () => workers.flatMap(({ runs }) => runs) };
}

const refusing = async () =>
  Promise.reject(new KamadoError("storage_unavailable", "501", { detail: { supportsConditions: false } }));

/** What stores do with conditions on writes. */
const STORES: [string, Partial<FakeBucket>][] = [
  ["a store with conditional writes", {}],
  ["a store that ignores conditions", { ignoresConditions: true }],
  ["a store that refuses conditions", { putIf: refusing }],
];

describe("a job that two workers have", () => {
  test.each(STORES)(
    "through two messages is run by one of them and delivered for both, with %s",
    async (_, store) => {
      const { workers, bucket, clock, queue, runs } = two({ slots: 1, prefetch: 0 });
      Object.assign(bucket, store);
      await workers[0].send("a");
      await workers[0].send("a");
      for (const { consumer } of workers) consumer.start();
      await clock.advance(2_000);
      expect(runs()).toHaveLength(1);
      runs()[0]!.finish();
      await clock.advance(MINUTE);
      expect(runs()).toHaveLength(1);
      expect(workers.flatMap(({ deliveries }) => deliveries)).toHaveLength(2);
      expect(queue.messages).toEqual([]);
      expect(bucket.objects.has(LOCK)).toBe(false);
    },
  );

  test("through one message, after its visibility ended, is not run by the second while the first runs it", async () => {
    const { workers, clock, queue, runs } = two({ visibilitySeconds: 300 });
    const id = await workers[0].send("a");
    workers[0].consumer.start();
    await clock.advance(10);
    queue.takeAway(id);
    workers[1].consumer.start();
    await clock.advance(1_000);
    expect(runs()).toHaveLength(1);
    runs()[0]!.finish();
    await clock.advance(MINUTE);
    expect(runs()).toHaveLength(1);
  });

  test("because the first one slept belongs to the second: the first neither stores, delivers nor deletes", async () => {
    const { workers, bucket, clock, queue, runs } = two();
    await workers[0].send("a");
    workers[0].consumer.start();
    await clock.advance(10);
    clock.epoch += 10 * MINUTE;
    // Meanwhile the second one took over the message and the lock.
    queue.takeAway(queue.messages[0]!.id);
    await queue.receive({ max: 1, waitSeconds: 0, visibilitySeconds: 600 });
    await bucket.put(KEY, JSON.stringify(another), { contentType: "application/json" });
    runs()[0]!.finish();
    await clock.advance(MINUTE);
    expect(workers[0].stored("a")).toBeNull();
    expect(workers[0].deliveries).toEqual([]);
    expect(queue.messages).toHaveLength(1);
    expect(bucket.objects.has(LOCK)).toBe(true);
  });

  test("ends in the worker that lost the lock, even if that worker still holds the message", async () => {
    const { workers, bucket, clock, runs } = two();
    await workers[0].send("a");
    workers[0].consumer.start();
    await clock.advance(10);
    await bucket.put(KEY, JSON.stringify(another), { contentType: "application/json" });
    await clock.advance(15_000);
    expect(runs()[0]!.signal.aborted).toBe(true);
    runs()[0]!.finish();
    await clock.advance(1_000);
    expect(workers[0].stored("a")).toBeNull();
    expect(workers[0].deliveries).toEqual([]);
  });
});

describe("a lock", () => {
  test("costs a job one write and one removal", async () => {
    const rig = createRig();
    for (const name of ["a", "b"]) {
      await rig.send(name);
      rig.consumer.start();
      await rig.complete(name);
    }
    const probing = 3;
    expect(rig.bucket.calls.putIf).toBe(probing + 2);
    const atStart = 2;
    expect(rig.bucket.calls.remove).toBe(atStart + 2);
    expect([...rig.bucket.objects.keys()].filter((key) => key.includes("/running/"))).toEqual([
      "s3://kamado/running/.probe",
    ]);
  });

  test.each(STORES)("of a long job is renewed, with %s", async (_, store) => {
    const rig = createRig();
    Object.assign(rig.bucket, store);
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(5 * MINUTE);
    const locks = new JobLocks({
      bucket: rig.bucket,
      worker: "second",
      visibilitySeconds: 30,
      clock: rig.clock,
      log: silentLog,
    });
    const hash = jobHash({ kind: "work", input: { name: "a" } });
    expect(await locks.take("a", hash)).toMatchObject({ is: "another's" });
    expect(await locks.take("a", "of another job")).toEqual({ is: "other job's" });
    rig.run("a").finish();
    await rig.clock.advance(1_000);
    expect(rig.stored("a")?.status).toBe("succeeded");
  });

  test("of a worker that died holds no longer than the job's message stays hidden", async () => {
    const rig = createRig({ visibilitySeconds: 30 });
    await rig.bucket.put(KEY, JSON.stringify(another), { contentType: "application/json" });
    await rig.clock.advance(30_000);
    await rig.send("a");
    rig.consumer.start();
    await rig.complete("a");
    expect(rig.stored("a")?.status).toBe("succeeded");
  });

  test("of a worker that died, whose job never came back, is removed when a worker starts days later", async () => {
    const rig = createRig();
    await rig.bucket.put(KEY, JSON.stringify(another), { contentType: "application/json" });
    await rig.clock.advance(3 * 24 * 60 * MINUTE);
    await rig.send("b");
    rig.consumer.start();
    await rig.complete("b");
    expect(rig.bucket.objects.has(LOCK)).toBe(false);
  });

  test("is not acquired while the store accepts no writes at all, which says nothing about conditional writes", async () => {
    const rig = createRig();
    const { putIf } = rig.bucket;
    Object.assign(rig.bucket, { putIf: refusing });
    const locks = new JobLocks({
      bucket: rig.bucket,
      worker: "second",
      visibilitySeconds: 30,
      clock: rig.clock,
      log: silentLog,
    });
    rig.bucket.next("put", { is: "fail" });
    await expect(locks.take("a", "hash")).rejects.toMatchObject({ code: "storage_unavailable" });
    Object.assign(rig.bucket, { putIf });
    expect(await locks.take("a", "hash")).toMatchObject({ is: "ours", lookAgain: false });
  });

  test("is free at once when its worker stops", async () => {
    const { workers, clock, runs } = two({ slots: 1, prefetch: 0 });
    await workers[0].send("a");
    workers[0].consumer.start();
    await clock.advance(10);
    workers[1].consumer.start();
    const stopped = workers[0].consumer.stop(0);
    await clock.advance(15_000);
    await stopped;
    expect(runs()).toHaveLength(2);
  });

  test.each(["fail", "drop"] as const)(
    "that cannot be written (%s) delays its job and no more",
    async (is) => {
      const rig = createRig();
      await rig.send("first");
      rig.consumer.start();
      await rig.complete("first");
      rig.bucket.next("putIf", { is });
      await rig.send("a");
      await rig.clock.advance(100);
      expect(rig.runs).toHaveLength(1);
      // The second look may come just before the lock runs out, the third up to 40 s later.
      await rig.clock.advance(2 * MINUTE);
      await rig.complete("a");
      expect(rig.stored("a")?.status).toBe("succeeded");
    },
  );
});

test("a worker that may no longer write to its bucket gives jobs back; it neither refuses nor dead-letters them", async () => {
  const { workers, bucket, clock, queue, dead, runs } = two();
  bucket.next("putIf", { is: "fail", code: "object_forbidden" });
  await workers[0].send("a");
  workers[0].consumer.start();
  await clock.advance(1_000);
  expect([queue.messages.length, dead.messages.length, runs().length]).toEqual([1, 0, 0]);
  expect(workers[0].endOf("a")).toMatchObject({ outcome: "retry", error: "storage_unavailable" });
});
