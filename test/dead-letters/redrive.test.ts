// Dead letters are read, redriven and purged: nothing is lost by any of it, or by a crash in between.
import { describe, expect, test } from "vitest";
import type { Clock } from "../../worker/async/clock.ts";
import { DeadLetterQueues } from "../../worker/dead-letters/redrive.ts";
import { type Delivery, deliveryId } from "../../worker/deliver/deliver.ts";
import { KamadoError } from "../../worker/errors.ts";
import { DisabledDestinations } from "../../worker/outbox/disabled-destinations.ts";
import type { Queue } from "../../worker/queue/queue.ts";
import { createResults } from "../../worker/storage/results.ts";
import { FakeQueue } from "../fakes/queue.ts";
import { createRig, type Rig, type RigOptions } from "../rig.ts";

const HOOK = { callback: "https://hooks.example/t0k3n" };
const MINUTE = 60_000;

function openQueues(
  { dead, deadDeliveries, queue, outbox, bucket, clock }: Rig,
  options: { jobs?: readonly [Queue, ...Queue[]]; clock?: Pick<Clock, "wall"> } = {},
): DeadLetterQueues {
  return new DeadLetterQueues({
    dead: { jobs: dead, deliveries: deadDeliveries },
    origin: { jobs: options.jobs ?? [queue], deliveries: outbox },
    bucket,
    results: createResults(bucket),
    disabledDestinations: new DisabledDestinations({ bucket, clock }),
    clock: options.clock ?? clock,
  });
}
/** A job that fails in its only attempt and becomes a dead letter. */
async function failedJob(options: RigOptions = {}, group?: string): Promise<Rig> {
  const rig = createRig({ maxAttempts: 1, ...options });
  await rig.send("a", {}, group);
  rig.consumer.start();
  await rig.clock.advance(10);
  rig.run("a").fail(new KamadoError("engine_unavailable", "there is no answer"));
  await rig.clock.advance(1_000);
  return rig;
}
/** A delivery that is refused. `effects` is what a receiver did that honours idempotency keys. */
async function refusedDelivery(status: number) {
  let refuses = true;
  const effects = new Set<string>();
  const tried: string[] = [];
  const rig = createRig({
    deliver: async ({ job, destination, result }: Delivery) => {
      const key = deliveryId(job.id, destination, `job.${result.status}`);
      tried.push(key);
      if (refuses)
        throw new KamadoError("delivery_rejected", `it answered ${status}`, {
          detail: { httpStatus: status },
        });
      effects.add(key);
    },
  });
  await rig.send("a", { deliver: [HOOK] });
  rig.consumer.start();
  rig.outboxConsumer.start();
  await rig.complete("a");
  const comeBack = () => {
    refuses = false;
  };
  return { rig, effects, tried, comeBack };
}

test("reading shows what is dead, why, and what led to it; afterwards everything is where it was", async () => {
  const rig = await failedJob();
  await rig.deadDeliveries.send("no delivery at all");
  const queues = openQueues(rig);
  const all = await queues.open();
  expect(all.find(({ id }) => id === "a")).toMatchObject({
    queue: "jobs",
    kind: "work",
    code: "attempts_exhausted",
    reason: expect.stringContaining("there is no answer"),
    errors: [expect.stringContaining("attempts_exhausted"), "engine_unavailable: there is no answer"],
    receives: 1,
    worker: "rig",
    receipt: { attempts: 1, worker: "rig" },
    firstAt: expect.stringMatching(/^2026-01-01T/),
    lastAt: expect.stringMatching(/^2026-01-01T/),
  });
  expect(all.find(({ queue }) => queue === "deliveries")?.code).toBe("received_too_often");
  expect((await openQueues(rig).open()).length).toBe(0);
  await queues.close();
  expect((await openQueues(rig).open()).length).toBe(2);
});

test("reading one queue does not touch the other", async () => {
  const rig = await failedJob();
  rig.deadDeliveries.missing = true;
  const queues = openQueues(rig);
  expect((await queues.open("jobs")).map(({ id }) => id)).toEqual(["a"]);
  await queues.close();
  await expect(openQueues(rig).open()).rejects.toMatchObject({ code: "queue_unavailable" });
});

test("a job that is sent back runs again, although its failure is stored", async () => {
  const rig = await failedJob();
  const queues = openQueues(rig);
  for (const dead of await queues.open()) await queues.redrive(dead);
  expect(rig.dead.messages).toEqual([]);
  await rig.complete("a");
  expect(rig.stored("a")?.status).toBe("succeeded");
  expect(rig.deliveries.map(({ result }) => result.status)).toEqual(["failed", "succeeded"]);
});

test("a job that is sent back has all its attempts again, even if SQS itself gave it up", async () => {
  const rig = createRig({ maxAttempts: 2 });
  const spent = { worker: "w", token: "t", beat: 1, holdMs: 0, attempts: 2, deaths: { beside: 2, alone: 0 } };
  await rig.bucket.put("running/a.json", JSON.stringify(spent), { contentType: "application/json" });
  await rig.dead.send(JSON.stringify({ id: "a", kind: "work", input: { name: "a" } }));
  const queues = openQueues(rig);
  for (const dead of await queues.open()) await queues.redrive(dead);
  rig.consumer.start();
  await rig.complete("a");
  expect(rig.stored("a")).toMatchObject({ status: "succeeded", receipt: { attempts: 1 } });
});

test("sending back a job whose id another job has leaves that job's failure in its place", async () => {
  const rig = await failedJob();
  const other = { id: "a", kind: "work", input: { name: "other" } };
  await rig.dead.send(JSON.stringify(other));
  const queues = openQueues(rig);
  const dead = (await queues.open()).find(({ message }) => message.body === JSON.stringify(other))!;
  await queues.redrive(dead);
  await rig.clock.advance(1_000);
  expect(rig.stored("a")).toMatchObject({ status: "failed", error: { code: "attempts_exhausted" } });
  expect(rig.deliveries.at(-1)!.result.error?.code).toBe("duplicate_id");
});

test("sending back a body that is no job leaves the job whose id it mentions as it is", async () => {
  const rig = await failedJob();
  const body = '{"id": "a", "kind": "work", "input": ';
  await rig.dead.send(body);
  const queues = openQueues(rig);
  const dead = (await queues.open()).find(({ message }) => message.body === body)!;
  expect(dead.id).toBe("a");
  await queues.redrive(dead);
  expect(rig.stored("a")).toMatchObject({ status: "failed", error: { code: "attempts_exhausted" } });
});

test("sending back a job whose id another job has leaves that job its id and its attempts", async () => {
  const rig = createRig();
  await rig.send("a");
  rig.consumer.start();
  await rig.clock.advance(10);
  rig.run("a").fail(new KamadoError("engine_unavailable", "there is no answer"));
  await rig.clock.advance(1_000);
  await rig.dead.send(JSON.stringify({ id: "a", kind: "work", input: { name: "other" } }));
  const queues = openQueues(rig);
  for (const dead of await queues.open()) await queues.redrive(dead);
  await rig.clock.advance(15_000);
  expect(rig.runs.map(({ input }) => input.name)).toEqual(["a", "a"]);
  await rig.complete("a");
  expect(rig.stored("a")).toMatchObject({ status: "succeeded", receipt: { attempts: 2 } });
});

test("a job whose id is its message's keeps it, whatever id the queue gives the new message", async () => {
  const rig = createRig({ maxAttempts: 1 });
  const id = await rig.queue.send(JSON.stringify({ kind: "work", input: { name: "a" } }));
  rig.consumer.start();
  await rig.clock.advance(10);
  rig.run("a").fail(new Error("a bug"));
  await rig.clock.advance(1_000);
  const queues = openQueues(rig);
  for (const dead of await queues.open()) await queues.redrive(dead);
  await rig.complete("a");
  expect(rig.stored(id)?.status).toBe("succeeded");
});

const BARE = JSON.stringify({ kind: "work", input: { name: "a" } });
test.each([
  ["bare", BARE],
  ["in an SNS notification", JSON.stringify({ Type: "Notification", Message: BARE })],
  ["behind a pointer", JSON.stringify(["x", { s3BucketName: "kamado", s3Key: "in/a.json" }])],
])("a job without an id of its own, %s, keeps the one it had, the second time too", async (_, body) => {
  const rig = createRig({ maxAttempts: 1 });
  await rig.bucket.put("in/a.json", BARE, { contentType: "application/json" });
  const id = await rig.queue.send(body);
  rig.consumer.start();
  for (let i = 0; i < 2; i++) {
    await rig.clock.advance(10);
    rig.run("a").fail(new Error("a bug"));
    await rig.clock.advance(1_000);
    const queues = openQueues(rig);
    for (const dead of await queues.open()) await queues.redrive(dead);
  }
  await rig.complete("a");
  expect(rig.stored(id)?.status).toBe("succeeded");
  expect(new Set(rig.deliveries.map(({ job }) => job.id))).toEqual(new Set([id]));
});

test("of several queues a job goes back to the one it came from", async () => {
  const rig = await failedJob();
  const urgent = new FakeQueue("urgent", { clock: rig.clock });
  const queues = openQueues(rig, { jobs: [urgent, rig.queue] });
  const [dead] = await queues.open();
  expect(dead).toMatchObject({ from: "jobs" });
  expect(await queues.redrive(dead!)).toBeUndefined();
  expect([urgent.messages.length, rig.queue.messages.length]).toEqual([0, 1]);
});

test("a job of a FIFO queue goes back into its group, although its dead-letter queue has no groups", async () => {
  const rig = await failedJob({ fifo: true }, "customer #7");
  expect(rig.dead.url).not.toContain("fifo");
  const queues = openQueues(rig, { jobs: [new FakeQueue("urgent", { clock: rig.clock }), rig.queue] });
  for (const dead of await queues.open()) await queues.redrive(dead);
  expect(rig.queue.messages).toMatchObject([{ group: "customer #7" }]);
});

test("a job that a group gave to a tenant is still his when it goes back", async () => {
  const rig = await failedJob({}, "acme");
  const queues = openQueues(rig);
  for (const dead of await queues.open()) await queues.redrive(dead);
  await rig.clock.advance(1_000);
  expect(rig.consumer.tenants).toMatchObject([{ tenant: "acme", running: 1 }]);
});

test("a job whose queue is not configured or unknown goes to the first, with a remark", async () => {
  const rig = await failedJob();
  await rig.dead.send(BARE);
  const others = ["urgent", "slow"].map((url) => new FakeQueue(url, { clock: rig.clock }));
  const queues = openQueues(rig, { jobs: others as [FakeQueue, FakeQueue] });
  const remarks = [];
  for (const dead of await queues.open()) remarks.push(await queues.redrive(dead));
  expect(remarks.toSorted()).toEqual([
    "its queue jobs is not in KAMADO_QUEUE_URL; it went to urgent",
    "the queue it came from is unknown; it went to urgent",
  ]);
  expect(others.map(({ messages }) => messages.length)).toEqual([2, 0]);
});

test("the first ten of a FIFO group are found, and the next when those are gone", async () => {
  const rig = createRig();
  const dead = new FakeQueue("dead.fifo", { clock: rig.clock, fifo: true });
  for (let i = 0; i < 25; i++) await dead.send(`letter ${i}`, { group: "g", deduplicationId: `${i}` });
  const queues = openQueues({ ...rig, dead });
  const seen: [number, boolean][] = [];
  do {
    const page = await queues.open();
    seen.push([page.length, queues.mayHaveMore]);
    for (const dead of page) await queues.purge(dead);
  } while (queues.mayHaveMore);
  expect(seen).toEqual([
    [10, true],
    [10, true],
    [5, true],
    [0, false],
  ]);
});

test("a job stays a dead letter if its failed result cannot be removed: sent back it would not run", async () => {
  const rig = await failedJob();
  const queues = openQueues(rig);
  const [dead] = await queues.open();
  rig.bucket.next("remove", { is: "fail" });
  await expect(queues.redrive(dead!)).rejects.toMatchObject({ code: "storage_unavailable" });
  expect(rig.queue.messages).toEqual([]);
  expect(rig.dead.messages).toHaveLength(1);
});

test("a delivery that is sent back turns its destination on and has three days again", async () => {
  const { rig, effects, comeBack } = await refusedDelivery(410);
  await rig.clock.advance(10 * MINUTE);
  comeBack();
  const queues = openQueues(rig);
  for (const dead of await queues.open()) await queues.redrive(dead);
  await rig.clock.advance(MINUTE);
  expect(effects.size).toBe(1);
  expect([rig.outbox.messages, rig.deadDeliveries.messages]).toEqual([[], []]);
  await rig.send("b", { deliver: [HOOK] });
  await rig.complete("b");
  expect(effects.size).toBe(2);
});

test("a delivery that is sent back from a machine whose clock is behind is delivered too", async () => {
  const { rig, effects, comeBack } = await refusedDelivery(404);
  comeBack();
  const queues = openQueues(rig, { clock: { wall: () => rig.clock.wall() - 30_000 } });
  for (const dead of await queues.open()) await queues.redrive(dead);
  await rig.clock.advance(MINUTE);
  expect([effects.size, rig.outbox.messages]).toEqual([1, []]);
});

test("what a delivery has in the bucket is removed with the last dead letter that needs it", async () => {
  const rig = createRig();
  const carried = "s3://kamado/outbox/a/d-succeeded.json";
  const body = JSON.stringify({
    type: "kamado.delivery",
    version: 1,
    job: { id: "a", kind: "work" },
    destination: HOOK,
    since: "2026-01-01T00:00:00.000Z",
    notBefore: "2026-01-01T00:00:00.000Z",
    tries: 0,
    carried,
    status: "succeeded",
  });
  await rig.bucket.put("outbox/a/d-succeeded.json", "{}", {
    contentType: "application/json",
  });
  await rig.bucket.put("in/other", "{}", { contentType: "application/json" });
  for (const one of [body, body, body.replace("outbox/a/d-succeeded.json", "in/other")])
    await rig.deadDeliveries.send(one);
  const queues = openQueues(rig);
  const [first, second, foreign] = await queues.open();
  const isThere = [];
  for (const dead of [foreign!, first!, second!]) {
    await queues.purge(dead);
    isThere.push(rig.bucket.objects.has(carried));
  }
  expect(isThere).toEqual([true, true, false]);
  expect(rig.bucket.objects.has("s3://kamado/in/other")).toBe(true);
  expect(rig.deadDeliveries.messages).toEqual([]);
});

test("a delivery that is sent back unchanged, with other tools, is delivered too", async () => {
  const { rig, effects, comeBack } = await refusedDelivery(404);
  comeBack();
  await rig.outbox.send(rig.deadDeliveries.messages[0]!.body);
  await rig.clock.advance(MINUTE);
  expect([effects.size, rig.outbox.messages]).toEqual([1, []]);
});

test("a crash between sending and removing has no second effect, and nothing is lost", async () => {
  const { rig, effects, tried, comeBack } = await refusedDelivery(404);
  comeBack();
  const queues = openQueues(rig);
  const [dead] = await queues.open();
  rig.deadDeliveries.next("remove", { is: "fail" });
  await expect(queues.redrive(dead!)).rejects.toMatchObject({ code: "queue_unavailable" });
  await queues.close();
  await rig.clock.advance(MINUTE);
  expect(rig.deadDeliveries.messages).toHaveLength(1);
  const again = openQueues(rig);
  for (const one of await again.open()) await again.redrive(one);
  await rig.clock.advance(MINUTE);
  expect([effects.size, new Set(tried).size]).toEqual([1, 1]);
  expect([rig.outbox.messages, rig.deadDeliveries.messages]).toEqual([[], []]);
});

test("a dead letter that cannot be sent stays in its queue", async () => {
  const { rig } = await refusedDelivery(404);
  const queues = openQueues(rig);
  const [dead] = await queues.open();
  rig.outbox.next("send", { is: "fail" });
  await expect(queues.redrive(dead!)).rejects.toMatchObject({ code: "queue_unavailable" });
  expect(rig.deadDeliveries.messages).toHaveLength(1);
});

test("a purge deletes what is named and nothing else", async () => {
  const rig = await failedJob();
  await rig.dead.send("other");
  const queues = openQueues(rig);
  const all = await queues.open();
  await queues.purge(all.find(({ id }) => id === "a")!);
  await queues.close();
  expect(rig.dead.messages.map(({ body }) => body)).toEqual(["other"]);
});

describe("a message among the jobs that looks like a delivery", () => {
  /** As an outbox holds it, but sent by somebody who may only send jobs. */
  const forged = (padding = "") =>
    JSON.stringify({
      type: "kamado.delivery",
      version: 1,
      job: { id: "a", kind: "work" },
      destination: { callback: "https://evil.example/hook" },
      carried: "s3://kamado/outbox/a/1-succeeded.json",
      since: "2026-01-01T00:00:00.000Z",
      tries: 0,
      notBefore: "2026-01-01T00:00:00.000Z",
      input: padding,
    });

  async function sent(body: string) {
    const rig = createRig();
    await rig.bucket.put("outbox/a/1-succeeded.json", "{}", { contentType: "application/json" });
    await rig.queue.send(body);
    rig.consumer.start();
    await rig.clock.advance(1_000);
    const queues = openQueues(rig);
    const [letter] = await queues.open();
    return { ...rig, queues, letter: letter! };
  }

  test.each([
    ["", 0],
    [", in a body that leaves no room to say where it was", 1024 * 1024 - 40 - forged().length],
  ])("is no delivery: sent back, it goes to the jobs%s", async (_, bytes) => {
    const rig = await sent(forged("x".repeat(bytes)));
    expect([rig.letter.queue, rig.letter.destination]).toEqual(["jobs", null]);
    await rig.queues.redrive(rig.letter);
    await rig.clock.advance(1_000);
    expect([rig.outbox.messages.length, rig.dead.messages.length]).toEqual([0, 1]);
  });

  test("is purged without what it names in the bucket", async () => {
    const rig = await sent(forged());
    await rig.queues.purge(rig.letter);
    expect(rig.bucket.objects.has("s3://kamado/outbox/a/1-succeeded.json")).toBe(true);
  });
});

test("where deliveries share the dead-letter queue of the jobs, each is sent back to where it was", async () => {
  const { rig } = await refusedDelivery(400);
  const [delivery] = await openQueues(rig).open("deliveries");
  const { clock } = rig;
  const [one, other] = [new FakeQueue("dead", { clock }), new FakeQueue("dead", { clock })];
  await one.send(delivery!.message.body, { attributes: { ...delivery!.message.attributes } });
  await one.send(JSON.stringify({ kind: "work", input: {} }));
  const shared = openQueues({ ...rig, dead: one, deadDeliveries: other });
  const all = await shared.open();
  expect(all.map(({ queue }) => queue).sort()).toEqual(["deliveries", "jobs"]);
});
