// A job can be canceled before it arrives, while it waits and while it runs, but not after it has ended.
import { expect, test } from "vitest";
import { cancelJob } from "../../worker/job-lock/cancellations.ts";
import { createResults } from "../../worker/storage/results.ts";
import { FakeBucket } from "../fakes/bucket.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeQueue } from "../fakes/queue.ts";
import { createRig, type Rig } from "../rig.ts";

const cancel = (rig: Rig, id: string) => {
  const results = createResults(rig.bucket);
  return cancelJob(id, { bucket: rig.bucket, results, clock: rig.clock });
};
const cancellations = (rig: Rig) => [...rig.bucket.objects.keys()].filter((key) => /cancel\/[^.]/.test(key));

test("a job that runs is stopped within seconds; its sender gets the result, and it does not run again", async () => {
  const rig = createRig();
  await rig.send("a");
  rig.consumer.start();
  await rig.clock.advance(10_000);
  expect(await cancel(rig, "a")).toEqual({ is: "running" });
  await rig.clock.advance(5_000);
  expect(rig.run("a").signal.aborted).toBe(true);
  expect(rig.stored("a")).toMatchObject({ status: "canceled", error: { code: "canceled" } });
  expect(rig.deliveries.map(({ result }) => result.status)).toEqual(["canceled"]);
  expect(rig.endOf("a")).toMatchObject({ outcome: "canceled", ending: "delete" });
  expect(rig.queue.messages).toEqual([]);
  expect(cancellations(rig)).toEqual([]);
});

test("a job that has not arrived yet is canceled when it arrives, without a run", async () => {
  const rig = createRig();
  rig.consumer.start();
  expect(await cancel(rig, "later")).toMatchObject({ is: "waiting" });
  await rig.clock.advance(60_000);
  await rig.send("later");
  await rig.send("other");
  await rig.clock.advance(1_000);
  expect(rig.runs.map(({ input }) => input.name)).toEqual(["other"]);
  expect(rig.stored("later")?.status).toBe("canceled");
  expect(rig.queue.messages).toHaveLength(1);
});

test("a message under the id of a job that was canceled does not undo that, when it is another job's", async () => {
  const clock = new FakeClock();
  const bucket = new FakeBucket({ clock });
  const [runs, other] = [1, 2].map((nth) => {
    const [queue, dead] = [new FakeQueue(`jobs${nth}`, { clock }), new FakeQueue(`dead${nth}`, { clock })];
    return createRig({ shared: { clock, queue, bucket, dead } });
  }) as [Rig, Rig];
  await runs.send("a");
  runs.consumer.start();
  await clock.advance(3_500);
  await cancel(runs, "a");
  await other.send("a", { input: { name: "b" } });
  other.consumer.start();
  await clock.advance(10_000);
  expect(other.deliveries.map(({ result }) => result.error?.code)).toEqual(["duplicate_id"]);
  expect(runs.stored("a")?.status).toBe("canceled");
});

test("a store that is slow at a bad moment does not stop a worker from noticing a cancel", async () => {
  const rig = createRig();
  rig.bucket.next("get", { is: "fail" });
  rig.bucket.next("putIf", { is: "fail" });
  rig.bucket.next("get", { is: "delay", ms: 300 });
  await rig.send("a");
  rig.consumer.start();
  await rig.clock.advance(60_000);
  await cancel(rig, "a");
  await rig.clock.advance(10_000);
  expect(rig.run("a").signal.aborted).toBe(true);
});

test("a worker that stops before it could store the result leaves the cancel to the next one", async () => {
  const rig = createRig();
  await rig.send("a");
  rig.consumer.start();
  await rig.clock.advance(5_000);
  await cancel(rig, "a");
  for (let i = 0; i < 5; i++) rig.bucket.next("put", { is: "fail" });
  await rig.clock.advance(4_000);
  const stopped = rig.consumer.stop(0);
  await rig.clock.advance(30_000);
  await stopped;
  expect(rig.stored("a")).toBeNull();
  const { clock, queue, bucket, dead } = rig;
  const next = createRig({ shared: { clock, queue, bucket, dead } });
  next.consumer.start();
  await clock.advance(120_000);
  expect(next.runs).toEqual([]);
  expect(next.stored("a")?.status).toBe("canceled");
});

test("a job that waits behind others is canceled when its turn comes", async () => {
  const rig = createRig({ slots: 1, prefetch: 3 });
  for (const name of ["long", "next"]) await rig.send(name);
  rig.consumer.start();
  await rig.clock.advance(10);
  await cancel(rig, "next");
  await rig.clock.advance(10_000);
  rig.run("long").finish();
  await rig.clock.advance(1_000);
  expect(rig.runs).toHaveLength(1);
  expect(rig.stored("next")?.status).toBe("canceled");
});

test("a job that has ended keeps its result", async () => {
  const rig = createRig();
  await rig.send("a");
  rig.consumer.start();
  await rig.complete("a");
  expect(await cancel(rig, "a")).toEqual({ is: "ended", status: "succeeded" });
  expect(cancellations(rig)).toEqual([]);
});

test("a cancel of a job that never came is forgotten after 14 days", async () => {
  const rig = createRig();
  await cancel(rig, "never");
  await rig.clock.advance(15 * 24 * 3_600_000);
  await rig.send("never");
  rig.consumer.start();
  await rig.complete("never");
  expect(rig.stored("never")?.status).toBe("succeeded");
  expect(cancellations(rig)).toEqual([]);
});

test("a worker checks once every few seconds for all its jobs, and not at all when nothing runs", async () => {
  const rig = createRig({ slots: 5, prefetch: 0 });
  for (const name of ["a", "b", "c", "d", "e"]) await rig.send(name);
  rig.consumer.start();
  await rig.clock.advance(100);
  const before = rig.bucket.calls.get;
  await rig.clock.advance(30_000);
  expect(rig.bucket.calls.get - before).toBeLessThanOrEqual(10);
  // Once for the cancellations, once at the start for the locks of dead workers and for old checkpoints, once to ask whether the bucket
  // answers.
  expect(rig.bucket.calls.list).toBe(4);
  for (const run of rig.runs) run.finish();
  await rig.clock.advance(10_000);
  const after = rig.bucket.calls.get;
  await rig.clock.advance(60_000);
  expect(rig.bucket.calls.get).toBe(after);
});

test("a store that cannot be read cancels nothing", async () => {
  const rig = createRig();
  await rig.send("a");
  rig.consumer.start();
  await rig.clock.advance(10);
  for (let i = 0; i < 5; i++) rig.bucket.next("get", { is: "fail" });
  await rig.clock.advance(12_000);
  rig.run("a").finish();
  await rig.clock.advance(1_000);
  expect(rig.stored("a")?.status).toBe("succeeded");
});
