// The life of a job: what a sender, a receiver and the next person on call can rely on.
import { describe, expect, test } from "vitest";
import { createSns } from "../../worker/deliver/sns.ts";
import { KamadoError } from "../../worker/errors.ts";
import { FakeTopic } from "../fakes/topic.ts";
import { createRig, failing } from "../rig.ts";

const MINUTE = 60_000;

describe("a job that works", () => {
  test("is stored, delivered and only then deleted", async () => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.complete("a");
    expect(rig.stored("a")).toMatchObject({
      id: "a",
      kind: "work",
      status: "succeeded",
      output: { done: "a" },
      receipt: { attempts: 1, worker: "rig" },
    });
    expect(rig.deliveries.map(({ result }) => result.status)).toEqual(["succeeded"]);
    expect(rig.queue.messages).toEqual([]);
    expect(rig.events.map(({ stage }) => stage)).toEqual(["received", "stored", "delivered", "ended"]);
  });

  test("goes to the destinations it names, else to the topic", async () => {
    const rig = createRig();
    await rig.send("a", {
      deliver: [{ callback: "https://example.org/a" }, { rest: "https://example.org/todos" }],
    });
    await rig.send("b");
    rig.consumer.start();
    await rig.clock.advance(10);
    for (const run of rig.runs) run.finish();
    await rig.clock.advance(1_000);
    expect(rig.deliveries.map(({ destination }) => Object.keys(destination)[0]).toSorted()).toEqual([
      "callback",
      "rest",
      "sns",
    ]);
  });

  test("asks the engine with its priority, 5 when it names none", async () => {
    const rig = createRig();
    await rig.send("a", { policy: { priority: 9 } });
    await rig.send("b");
    rig.consumer.start();
    await rig.clock.advance(10);
    expect(rig.priorities.toSorted()).toEqual([5, 9]);
    for (const run of rig.runs) run.finish();
  });

  test("may be behind a pointer", async () => {
    const rig = createRig();
    await rig.bucket.put("in/job.json", JSON.stringify({ id: "big", kind: "work", input: { name: "big" } }), {
      contentType: "application/json",
    });
    await rig.queue.send(
      JSON.stringify([
        "software.amazon.payloadoffloading.PayloadS3Pointer",
        { s3BucketName: "kamado", s3Key: "in/job.json" },
      ]),
    );
    rig.consumer.start();
    await rig.complete("big");
    expect(rig.stored("big")?.status).toBe("succeeded");
  });

  test("with a long output is delivered as a pointer to the stored one", async () => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.complete("a", { done: "x".repeat(200_000) });
    expect(rig.deliveries[0]?.result).toMatchObject({ outputRef: "s3://kamado/results/a.json" });
    expect(rig.deliveries[0]?.result).not.toHaveProperty("output");
  });
});

describe("a job that was done before", () => {
  test("is answered with the stored result and not run again", async () => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.complete("a");
    await rig.send("a");
    await rig.clock.advance(1_000);
    expect(rig.runs).toHaveLength(1);
    expect(rig.deliveries).toHaveLength(2);
    expect(rig.queue.messages).toEqual([]);
  });

  test("twice at the same moment runs once; the second message finds the first one's result", async () => {
    const rig = createRig();
    await rig.send("a");
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(10);
    expect(rig.runs).toHaveLength(1);
    rig.run("a").finish();
    await rig.clock.advance(MINUTE);
    expect(rig.runs).toHaveLength(1);
    expect(rig.deliveries).toHaveLength(2);
    expect(rig.queue.messages).toEqual([]);
  });

  test("under an id that another kind used is refused, and the first result stays", async () => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.complete("a");
    await rig.queue.send(JSON.stringify({ id: "a", kind: "prompt", input: {} }));
    await rig.clock.advance(1_000);
    expect(rig.deliveries.at(-1)?.result.error?.code).toBe("duplicate_id");
    expect(rig.stored("a")?.kind).toBe("work");
  });
});

describe("a job that cannot succeed costs only itself", () => {
  test.each([
    ["of an unknown kind", { id: "x", kind: "todo.mtach", input: {} }, "unknown_kind"],
    ["with bad input", { id: "x", kind: "work", input: { name: 7 } }, "invalid_input"],
    [
      "that expired",
      { id: "x", kind: "work", input: { name: "x" }, policy: { expiresAt: "2020-01-01T00:00:00Z" } },
      "expired",
    ],
  ])("one %s fails, its failure is delivered, and the next job succeeds", async (_, job, code) => {
    const rig = createRig();
    await rig.queue.send(JSON.stringify(job));
    await rig.send("next");
    rig.consumer.start();
    await rig.complete("next");
    expect(rig.stored("x")?.error?.code).toBe(code);
    expect(rig.deliveries.find(({ job: { id } }) => id === "x")?.result.error?.code).toBe(code);
    expect(rig.stored("next")?.status).toBe("succeeded");
    expect(rig.queue.messages).toEqual([]);
    expect(rig.dead.messages).toEqual([]);
  });

  test.each([
    [
      "a field's name of 900 KB",
      { id: "x", kind: "work", input: { ["y".repeat(900_000)]: 1 } },
      "invalid_input",
    ],
    ["escape sequences in its kind", { id: "x", kind: "\u001b[2J\ud800\u202e", input: {} }, "unknown_kind"],
  ])("one with %s fails, and a topic takes the failure", async (_, job, code) => {
    const [topic, arn] = [new FakeTopic(), "arn:aws:sns:us-east-1:000000000000:t"];
    topic.create(arn);
    const inbox = topic.subscribe(arn);
    const publish = createSns(topic);
    const rig = createRig({ deliver: (delivery) => publish(delivery, arn) });
    await rig.queue.send(JSON.stringify(job));
    rig.consumer.start();
    await rig.clock.advance(1_000);
    const [{ message, attributes } = { message: "null", attributes: {} }] = inbox;
    expect(JSON.parse(message)).toMatchObject({ id: "x", status: "failed", error: { code } });
    expect(Buffer.byteLength(message)).toBeLessThan(16_000);
    expect(Object.values(attributes).join("")).not.toMatch(/[\p{C}]/u);
    expect([rig.queue.messages, rig.dead.messages, rig.outbox.messages]).toEqual([[], [], []]);
  });

  test("one that expires while it waits for a slot is not started", async () => {
    const rig = createRig({ slots: 1, prefetch: 2 });
    await rig.send("long");
    const expiresAt = new Date(rig.clock.wall() + MINUTE).toISOString();
    await rig.send("late", { policy: { expiresAt } });
    rig.consumer.start();
    await rig.clock.advance(2 * MINUTE);
    await rig.complete("long");
    expect(rig.runs).toHaveLength(1);
    expect(rig.stored("late")?.status).toBe("expired");
    expect(rig.deliveries.map(({ result }) => result.status)).toEqual(["succeeded", "expired"]);
  });

  test("a body that is not a job is dead-lettered unchanged, with the reason", async () => {
    const rig = createRig();
    await rig.queue.send('{"kind": "work", ');
    rig.consumer.start();
    await rig.clock.advance(1_000);
    expect(rig.queue.messages).toEqual([]);
    expect(rig.dead.messages.map(({ body }) => body)).toEqual(['{"kind": "work", ']);
    expect(rig.events.at(-1)).toMatchObject({ outcome: "rejected", error: "malformed_json" });
  });

  test("a body that cannot be dead-lettered stays in the queue", async () => {
    const rig = createRig();
    rig.dead.missing = true;
    await rig.queue.send("not json");
    rig.consumer.start();
    await rig.clock.advance(1_000);
    expect(rig.queue.messages).toHaveLength(1);
  });

  test("one that runs too long is ended at its own limit", async () => {
    const rig = createRig();
    await rig.send("slow", { policy: { timeoutSeconds: 60 } });
    rig.consumer.start();
    await rig.clock.advance(61_000);
    expect(rig.stored("slow")?.error).toMatchObject({
      code: "timed_out",
      message: expect.stringContaining("60 seconds"),
    });
    expect(rig.run("slow").signal.aborted).toBe(true);
  });

  test("one whose handler returns something other than it declared fails", async () => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.complete("a", { done: 3 });
    expect(rig.stored("a")?.error).toMatchObject({
      code: "output_invalid",
      message: expect.stringContaining("output.done"),
    });
  });
});

describe("a failure that may be temporary is tried again", () => {
  test("a job that the engine could not take comes back later and succeeds then", async () => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(10);
    rig.run("a").fail(new KamadoError("engine_unavailable", "it is down"));
    await rig.clock.advance(1_000);
    expect(rig.runs).toHaveLength(1);
    expect(rig.stored("a")).toBeNull();
    await rig.clock.advance(10_000);
    rig.run("a").finish();
    await rig.clock.advance(1_000);
    expect(rig.stored("a")).toMatchObject({ status: "succeeded", receipt: { attempts: 2 } });
  });

  test("after the last attempt the sender gets a failed result, and the message is dead-lettered", async () => {
    const rig = createRig({ maxAttempts: 2 });
    await rig.send("a");
    rig.consumer.start();
    for (const _ of [1, 2]) {
      await rig.clock.advance(20_000);
      rig.run("a").fail(new Error("a bug"));
      await rig.clock.advance(100);
    }
    await rig.clock.advance(1_000);
    expect(rig.stored("a")?.error).toMatchObject({
      code: "attempts_exhausted",
      message: expect.stringContaining("a bug"),
    });
    expect(rig.dead.messages).toHaveLength(1);
    expect(rig.queue.messages).toEqual([]);
  });

  test("a result that cannot be stored is not delivered; the job comes back", async () => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(10);
    for (let tries = 0; tries < 5; tries++) rig.bucket.next("put", { is: "fail" });
    rig.run("a").finish();
    await rig.clock.advance(9_000);
    expect(rig.deliveries).toEqual([]);
    expect(rig.queue.messages).toHaveLength(1);
  });

  test("a bucket that does not answer for a moment causes no second run", async () => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(10);
    rig.bucket.next("put", { is: "fail" });
    rig.bucket.next("put", { is: "fail" });
    rig.run("a").finish();
    await rig.clock.advance(MINUTE);
    expect(rig.stored("a")).toMatchObject({ status: "succeeded" });
    expect(rig.deliveries).toHaveLength(1);
    expect(rig.runs).toHaveLength(1);
    expect(rig.queue.messages).toEqual([]);
  });

  test("a delivery that fails is tried again from the outbox, without running the job again", async () => {
    let down = true;
    const rig = createRig({
      deliver: failing(() => (down ? new KamadoError("delivery_failed", "503") : null)),
    });
    await rig.send("a");
    rig.consumer.start();
    await rig.complete("a");
    expect(rig.queue.messages).toEqual([]);
    down = false;
    rig.outboxConsumer.start();
    await rig.clock.advance(MINUTE);
    expect(rig.runs).toHaveLength(1);
    expect(rig.deliveries).toHaveLength(1);
    expect(rig.outbox.messages).toEqual([]);
  });

  test("of several destinations only the one that failed is tried again", async () => {
    let down = true;
    const rig = createRig({
      deliver: async ({ destination }) => {
        if ("callback" in destination && down) throw new KamadoError("delivery_failed", "503");
        if ("sqs" in destination) throw new KamadoError("delivery_rejected", "no such queue");
      },
    });
    const deliver = [
      { sns: "arn:aws:sns:x" },
      { callback: "https://example.org/hook" },
      { sqs: "https://example.org/q" },
    ];
    await rig.send("a", { deliver });
    rig.consumer.start();
    rig.outboxConsumer.start();
    await rig.complete("a");
    down = false;
    await rig.clock.advance(MINUTE);
    expect(rig.deliveries.map(({ destination }) => Object.keys(destination)[0])).toEqual(["sns", "callback"]);
    expect(rig.deadDeliveries.messages).toHaveLength(1);
    expect(rig.queue.messages).toEqual([]);
  });

  test("a delivery that is refused for good becomes a dead letter of its own; the other destinations get the result", async () => {
    const rig = createRig({
      deliver: async ({ destination }) => {
        if ("callback" in destination) throw new KamadoError("delivery_rejected", "410 Gone");
      },
    });
    await rig.send("a", {
      deliver: [{ callback: "https://example.org/gone" }, { sqs: "https://example.org/q" }],
    });
    rig.consumer.start();
    await rig.complete("a");
    expect(rig.deliveries.map(({ destination }) => destination)).toEqual([{ sqs: "https://example.org/q" }]);
    expect(JSON.parse(rig.deadDeliveries.messages[0]!.body)).toMatchObject({
      job: { id: "a" },
      destination: { callback: "https://example.org/gone" },
    });
    expect(rig.queue.messages).toEqual([]);
  });
});
