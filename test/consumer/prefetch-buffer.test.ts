// How many messages are pulled in advance and which of them runs next. In a FIFO queue one job of a group runs at a time, in
// order, through failures and over several workers; groups do not wait for each other.
import { randomUUID } from "node:crypto";
import { CreateQueueCommand } from "@aws-sdk/client-sqs";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../worker/async/clock.ts";
import type { Ending } from "../../worker/consumer/acks.ts";
import { Consumer } from "../../worker/consumer/consumer.ts";
import type { Lease } from "../../worker/consumer/lease.ts";
import { howManyToPull, nextToRun } from "../../worker/consumer/prefetch-buffer.ts";
import { KamadoError } from "../../worker/errors.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { embeddedAws } from "../conformance/embedded.ts";
import { createRig } from "../rig.ts";

describe("how many messages to ask for", () => {
  test.each([
    ["an idle worker asks for a full batch", { slots: 8, prefetch: 8, taken: 0 }, 10],
    ["never for more than it has room for", { slots: 2, prefetch: 1, taken: 0 }, 3],
    ["a free slot is worth a call of its own", { slots: 8, prefetch: 0, taken: 7 }, 1],
    ["a busy one waits until half of those in advance are gone", { slots: 8, prefetch: 8, taken: 13 }, 0],
    ["then asks", { slots: 8, prefetch: 8, taken: 12 }, 4],
    ["a large one for whole batches", { slots: 32, prefetch: 32, taken: 54 }, 10],
    ["a small buffer is filled as it empties", { slots: 1, prefetch: 2, taken: 1 }, 2],
    ["a full one asks for none", { slots: 8, prefetch: 8, taken: 16 }, 0],
  ])("%s", (_, room, want) => expect(howManyToPull(room)).toBe(want));
});

describe("which waiting message runs next", () => {
  const at = (priority: number, group: string | null = null) => ({ priority, group, tenant: null });
  test.each([
    ["none when none waits", [], [], -1],
    ["the oldest among equals", [at(5), at(5)], [], 0],
    ["the highest priority", [at(5), at(9), at(1)], [], 1],
    ["not one whose group runs", [at(5, "a"), at(5, "b")], ["a"], 1],
    ["not past an older one of its own group, however urgent", [at(1, "a"), at(9, "a")], [], 0],
    ["none when every group runs", [at(5, "a")], ["a"], -1],
  ])("%s", (_, waiting, running, index) => expect(nextToRun(waiting, new Set(running), () => 0)).toBe(index));
});

const SECOND = 1_000;

test("a job that fails is tried again before those behind it, and costs them no attempt", async () => {
  const rig = createRig({ slots: 4, prefetch: 4, fifo: true });
  for (const name of ["a1", "a2", "a3"]) await rig.send(name, {}, "a");
  await rig.send("b1", {}, "b");
  rig.consumer.start();
  for (const _ of [1, 2, 3]) {
    await rig.clock.advance(60 * SECOND);
    rig.run("a1").fail(new KamadoError("fetch_failed", "not now"));
    await rig.clock.advance(SECOND);
    expect(rig.runs.map(({ input }) => input.name)).not.toContain("a2");
  }
  await rig.clock.advance(60 * SECOND);
  for (const name of ["b1", "a1", "a2", "a3"]) await rig.complete(name);
  expect(rig.stored("a1")?.receipt.attempts).toBe(4);
  expect(rig.stored("a2")?.receipt.attempts).toBe(1);
  expect(rig.stored("a3")?.receipt.attempts).toBe(1);
  expect(rig.queue.messages).toEqual([]);
});

test("a stop gives back messages that have not started: another worker continues with the group", async () => {
  const first = createRig({ slots: 1, prefetch: 8, fifo: true });
  for (const name of ["a1", "a2"]) await first.send(name, {}, "a");
  const second = createRig({ shared: first, fifo: true });
  first.consumer.start();
  await first.clock.advance(10);
  const stopped = first.consumer.stop(30 * SECOND);
  second.consumer.start();
  await first.complete("a1");
  await stopped;
  await second.complete("a2");
  expect(second.stored("a2")?.status).toBe("succeeded");
  expect(first.runs).toHaveLength(1);
});

test("a job whose lease is lost is not overtaken by those behind it", async () => {
  const rig = createRig({ slots: 2, prefetch: 2, fifo: true });
  for (const name of ["a1", "a2"]) await rig.send(name, {}, "a");
  rig.consumer.start();
  await rig.clock.advance(10);
  rig.queue.takeAway(rig.queue.messages[0]!.id);
  await rig.clock.advance(120 * SECOND);
  expect(rig.runs[0]!.signal.aborted).toBe(true);
  expect(rig.runs.map(({ input }) => input.name)).not.toContain("a2");
  await rig.complete("a1");
  await rig.complete("a2");
  expect(rig.queue.messages).toEqual([]);
});

describe("of a queue that gives its messages in order, and a tenant with a thousand of them", () => {
  const of = (tenant: string) => ({ policy: { tenant } });
  const crowd = async (rig: ReturnType<typeof createRig>, count = 1_000, more: object = of("crowd")) => {
    for (let i = 0; i < count; i++) await rig.send(`crowd-${i}`, more);
  };
  const namesOf = ({ runs }: ReturnType<typeof createRig>) => runs.map(({ input }) => input.name);
  /** Ends the job that has run longest. */
  async function endOne(rig: ReturnType<typeof createRig>): Promise<void> {
    const name = namesOf(rig).find((one) => rig.stored(one) === null);
    if (name === undefined) return;
    rig.run(name).finish();
    await rig.clock.advance(100);
  }
  /** Ends job after job. */
  async function endAll(rig: ReturnType<typeof createRig>, everyMs: number): Promise<void> {
    for (let i = 0; i < 300 && rig.queue.messages.length > 0; i++) {
      await rig.clock.advance(everyMs);
      await endOne(rig);
    }
    expect(rig.queue.messages).toEqual([]);
  }

  test("the single message of another tenant starts with the next free slot", async () => {
    const rig = createRig({ slots: 2, prefetch: 2 });
    await crowd(rig);
    rig.consumer.start();
    await rig.clock.advance(5 * SECOND);
    for (let i = 0; i < 20; i++) await endOne(rig);
    await rig.send("single", of("another"));
    await rig.clock.advance(SECOND);
    await endOne(rig);
    expect(namesOf(rig).at(-1)).toBe("single");
  });

  test("also if it was sent long before the worker began", async () => {
    const rig = createRig({ slots: 2, prefetch: 2 });
    await crowd(rig);
    await rig.send("single", of("another"));
    rig.consumer.start();
    await rig.clock.advance(5 * SECOND);
    await endOne(rig);
    expect(namesOf(rig).at(-1)).toBe("single");
  });

  test("also if all slots are taken for longer than the messages stay hidden", async () => {
    const rig = createRig({ slots: 1, prefetch: 1, timeoutSeconds: 36_000 });
    await crowd(rig, 40);
    rig.consumer.start();
    await rig.clock.advance(3 * 3_600 * SECOND);
    await rig.send("single", of("another"));
    await rig.clock.advance(3_600 * SECOND);
    await endOne(rig);
    expect(namesOf(rig).at(-1)).toBe("single");
  });

  test("a wait of hours costs each message few receives, so that the queue gives none of them up", async () => {
    const rig = createRig({ slots: 1, prefetch: 1, visibilitySeconds: 120, timeoutSeconds: 39_600 });
    await crowd(rig, 100);
    rig.consumer.start();
    await rig.clock.advance(10 * 3_600 * SECOND);
    const most = Math.max(...rig.queue.messages.map(({ receiveCount }) => receiveCount));
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(10);
  });

  test("a message that was received often is kept until it starts", async () => {
    const rig = createRig({ slots: 1, prefetch: 1, timeoutSeconds: 39_600 });
    await crowd(rig, 30);
    for (let i = 0; i < 9; i++)
      for (;;) {
        const taken = await rig.queue.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 600 });
        if (taken.length === 0) {
          await rig.clock.advance(600 * SECOND);
          break;
        }
      }
    rig.consumer.start();
    await rig.clock.advance(3_600 * SECOND);
    expect(new Set(rig.queue.messages.map(({ receiveCount }) => receiveCount))).toEqual(new Set([10]));
  });

  test("all of them run once, in order of priority and age, when nobody else waits", async () => {
    const rig = createRig({ slots: 4, prefetch: 4 });
    await crowd(rig, 60);
    await rig.send("urgent", { policy: { tenant: "crowd", priority: 9 } });
    rig.consumer.start();
    await rig.clock.advance(5 * SECOND);
    await endAll(rig, 20 * SECOND);
    expect(namesOf(rig)).toHaveLength(61);
    expect(new Set(namesOf(rig)).size).toBe(61);
    expect(namesOf(rig)[4]).toBe("urgent");
    const rest = namesOf(rig).filter((name) => name !== "urgent");
    expect(rest).toEqual(Array.from({ length: 60 }, (_, i) => `crowd-${i}`));
  });

  test("a stop gives back at once whatever was set aside", async () => {
    const rig = createRig({ slots: 1, prefetch: 1 });
    await crowd(rig, 200);
    rig.consumer.start();
    await rig.clock.advance(5 * SECOND);
    const stopped = rig.consumer.stop(30 * SECOND);
    await rig.clock.advance(SECOND);
    let others = 0;
    for (let got = 1; got > 0; others += got)
      got = (await rig.queue.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 30 })).length;
    expect(others).toBe(199);
    await endOne(rig);
    await rig.clock.advance(15 * SECOND);
    await stopped;
  });

  test("another worker gets what was set aside when its visibility ends", async () => {
    const rig = createRig({ slots: 1, prefetch: 1, timeoutSeconds: 3_600 });
    await crowd(rig, 50);
    rig.consumer.start();
    await rig.clock.advance(5 * SECOND);
    const { clock, queue, bucket, dead } = rig;
    const other = createRig({ slots: 8, prefetch: 8, shared: { clock, queue, bucket, dead } });
    other.consumer.start();
    await clock.advance(30 * SECOND);
    expect(other.runs).toHaveLength(8);
  });

  test("it holds no more than it may, and goes on looking as its messages run", async () => {
    const rig = createRig({ slots: 2, prefetch: 2, lookAhead: 100 });
    await crowd(rig, 130);
    await rig.send("single", of("another"));
    rig.consumer.start();
    await rig.clock.advance(5 * SECOND);
    expect(rig.consumer.waiting).toBeLessThanOrEqual(100);
    for (let i = 0; i < 42; i++) await endOne(rig);
    expect(namesOf(rig)).toContain("single");
  });

  test("where no tenant is named, no call is made to look ahead", async () => {
    const calls = await Promise.all(
      [0, 1_000].map(async (lookAhead) => {
        const rig = createRig({ slots: 4, prefetch: 4, lookAhead });
        await crowd(rig, 100, {});
        rig.consumer.start();
        await endAll(rig, SECOND);
        const { receive, extend, remove } = rig.queue.calls;
        return { receive, extend, remove };
      }),
    );
    expect(calls[1]).toEqual(calls[0]);
  });

  test("in a FIFO queue each group keeps its order, and another tenant's group is found", async () => {
    const rig = createRig({ slots: 1, prefetch: 1, fifo: true });
    for (let i = 0; i < 30; i++) await rig.send(`crowd-${i}`, of("crowd"), `group-${i % 10}`);
    await rig.send("single", of("another"), "its own");
    rig.consumer.start();
    await rig.clock.advance(60 * SECOND);
    await endOne(rig);
    expect(namesOf(rig).at(-1)).toBe("single");
    await endAll(rig, 40 * SECOND);
    for (let group = 0; group < 10; group++) {
      const own = namesOf(rig).filter((name) => name.startsWith("crowd-") && name.endsWith(`${group}`));
      expect(own).toEqual([group, group + 10, group + 20].map((number) => `crowd-${number}`));
    }
  });
});

const clients = embeddedAws({ kept: false });

test("two workers on a real FIFO queue keep every group's order through failures", async () => {
  const { sqs } = clients();
  const { QueueUrl } = await sqs.send(
    new CreateQueueCommand({ QueueName: `${randomUUID()}.fifo`, Attributes: { FifoQueue: "true" } }),
  );
  const queue = sqsQueue(sqs, QueueUrl!);
  const groups = ["a", "b", "c"];
  for (const number of [1, 2, 3, 4])
    for (const group of groups) await queue.send(`${group}${number}`, { group });

  const done: string[] = [];
  const running = new Set<string>();
  const together: string[] = [];
  let failures = 0;
  const all = Promise.withResolvers<void>();
  const workers = [1, 2].map(() => {
    const work = async (lease: Lease): Promise<Ending> => {
      const { body, group, receiveCount } = lease.message;
      if (running.has(group!)) together.push(body);
      running.add(group!);
      await new Promise((resolve) => setImmediate(resolve));
      running.delete(group!);
      // The second of each group fails the first time.
      const fails = body.endsWith("2") && receiveCount === 1;
      if (fails) failures++;
      else done.push(body);
      if (done.length === 12) all.resolve();
      return fails ? { releaseAfterSeconds: 1 } : "delete";
    };
    return new Consumer({
      queue,
      concurrency: { slots: 4, prefetch: 4 },
      visibilitySeconds: 30,
      pollSeconds: 1,
      work,
      clock: systemClock,
      log: silentLog,
    });
  });
  for (const worker of workers) worker.start();
  await all.promise;
  await Promise.all(workers.map((worker) => worker.stop(5_000)));
  expect(together).toEqual([]);
  expect(failures).toBe(3);
  for (const group of groups)
    expect(done.filter((body) => body.startsWith(group))).toEqual(
      [1, 2, 3, 4].map((number) => group + number),
    );
  expect(await queue.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 1 })).toEqual([]);
}, 30_000);
