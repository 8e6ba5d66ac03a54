// The life of a job: what a sender, a receiver and the next person on call can rely on.
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { Lease } from "../../worker/consumer/lease.ts";
import { createSns } from "../../worker/deliver/sns.ts";
import { KamadoError } from "../../worker/errors.ts";
import { createLog } from "../../worker/logging/log.ts";
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
    expect(rig.events.map(({ stage }) => stage)).toEqual([
      "received",
      "started",
      "stored",
      "delivered",
      "ended",
    ]);
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

  test("of a kind whose results are only stored goes to no topic, but to the destinations it names", async () => {
    const rig = createRig({ kinds: ["quiet"], storedOnly: ["quiet"] });
    await rig.send("a", { kind: "quiet", deliver: [{ callback: "https://example.org/a" }] });
    await rig.send("b", { kind: "quiet" });
    rig.consumer.start();
    await rig.clock.advance(10);
    for (const run of rig.runs) run.finish();
    await rig.clock.advance(1_000);
    expect(rig.deliveries.map(({ job, destination }) => [job.id, Object.keys(destination)[0]])).toEqual([
      ["a", "callback"],
    ]);
    expect(rig.stored("b")).toMatchObject({ status: "succeeded" });
    expect(rig.queue.messages).toEqual([]);
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

  test.each([
    ["a stored result", "results/a.json", "may read what begins with s3://kamado/in/"],
    ["a delivery log", "deliveries/a.json", "may read what begins with s3://kamado/in/"],
    ["half of a pair", "in/\ud800", "no character"],
    ["300 KB of key", `in/${"k".repeat(300_000)}`, "1024"],
  ])(
    "is not read from %s behind a pointer: the message is dead-lettered after one receive",
    async (_, key, words) => {
      const rig = createRig();
      const job = { id: "b", kind: "work", input: { name: "b" } };
      await rig.bucket.put(key, JSON.stringify(job), { contentType: "application/json" });
      await rig.queue.send(
        JSON.stringify(["software.amazon.Pointer", { s3BucketName: "kamado", s3Key: key }]),
      );
      rig.consumer.start();
      await rig.clock.advance(60_000);
      expect(rig.runs).toEqual([]);
      expect(rig.dead.messages).toMatchObject([{ attributes: { "kamado-code": "pointer_unreadable" } }]);
      expect(rig.dead.messages[0]!.attributes["kamado-reason"]).toContain(words);
      expect(rig.dead.messages[0]!.attributes["kamado-receives"]).toBe("1");
      expect(rig.worker.state()).toMatchObject({ slots: 2, bucket: { answers: true } });
    },
  );

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

  test("is answered for the same input with its fields in another order, and at another destination", async () => {
    const rig = createRig();
    await rig.queue.send('{"id":"a","kind":"work","input":{"name":"a","and":{"x":1,"y":[{"p":1,"q":2}]}}}');
    rig.consumer.start();
    await rig.clock.advance(1_000);
    const deliver = [{ callback: "https://example.org/a" }];
    const input = { and: { y: [{ q: 2, p: 1 }], x: 1 }, name: "a" };
    await rig.queue.send(JSON.stringify({ deliver, input, kind: "work", id: "a" }));
    await rig.clock.advance(1_000);
    const codes = rig.deliveries.map(({ result }) => result.error?.code);
    expect(codes).toEqual(["invalid_input", "invalid_input"]);
    expect(rig.deliveries[1]!.destination).toEqual(deliver[0]);
  });

  test("keeps the hash of its job where it is stored, and sends it to nobody", async () => {
    const rig = createRig();
    for (const _ of [1, 2]) {
      await rig.send("a");
      rig.consumer.start();
      await rig.clock.advance(10);
      rig.runs[0]!.finish();
      await rig.clock.advance(1_000);
    }
    expect(rig.stored("a")).toMatchObject({ jobHash: expect.stringMatching(/^[0-9a-f]{64}$/) });
    expect(rig.deliveries).toHaveLength(2);
    for (const { result } of rig.deliveries) expect(result).not.toHaveProperty("jobHash");
  });

  test("by an older version, which kept no hash, is answered if the kind is the same", async () => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.complete("a");
    const { jobHash: _, ...older } = rig.stored("a")!;
    await rig.bucket.put("results/a.json", JSON.stringify(older), { contentType: "application/json" });
    await rig.send("a", { input: { name: "b" } });
    await rig.clock.advance(1_000);
    expect(rig.deliveries.at(-1)?.result.status).toBe("succeeded");
    await rig.queue.send(JSON.stringify({ id: "a", kind: "prompt", input: {} }));
    await rig.clock.advance(1_000);
    expect(rig.deliveries.at(-1)?.result.error?.code).toBe("duplicate_id");
  });
});

describe("a job under an id that another job has", () => {
  const theirs = [{ callback: "https://example.org/theirs" }];
  const OTHERS: [string, object][] = [
    ["another input", { kind: "work", input: { name: "b" } }],
    ["another kind", { kind: "prompt", input: { name: "a" } }],
    ["another source", { kind: "work", input: { name: "a" }, source: "/theirs" }],
  ];
  /** All of the deliveries to `theirs`, as text. */
  const told = (rig: ReturnType<typeof createRig>) =>
    rig.deliveries.filter(({ destination }) => "callback" in destination).map(({ result }) => result);

  test.each(OTHERS)("with %s, after it ended, gets nothing of its result", async (_, other) => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.complete("a", { done: "a secret answer" });
    await rig.queue.send(JSON.stringify({ id: "a", ...other, deliver: theirs }));
    await rig.clock.advance(1_000);
    const [result] = told(rig);
    expect(result).toMatchObject({ status: "failed", error: { code: "duplicate_id" } });
    expect(result!.receipt).toMatchObject({ model: null, promptTokens: 0, completionTokens: 0 });
    expect(result).not.toHaveProperty("output");
    expect(rig.stored("a")?.output).toEqual({ done: "a secret answer" });
    expect(rig.runs).toHaveLength(1);
    expect(rig.queue.messages).toEqual([]);
  });

  test.each(OTHERS)("with %s, while it runs, is refused at once and ends nothing", async (_, other) => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(1_000);
    await rig.queue.send(JSON.stringify({ id: "a", ...other, deliver: theirs }));
    await rig.clock.advance(1_000);
    expect(told(rig)).toMatchObject([{ error: { code: "duplicate_id" } }]);
    expect(rig.stored("a")).toBeNull();
    rig.run("a").finish();
    await rig.clock.advance(1_000);
    expect(rig.stored("a")?.status).toBe("succeeded");
    expect(rig.queue.messages).toEqual([]);
  });

  test("with the same destination does not stand for the first one's delivery, which waits in the outbox", async () => {
    let isDown = true;
    const down = () => (isDown ? new KamadoError("delivery_failed", "The receiver is down.") : null);
    const rig = createRig({ deliver: failing(down) });
    await rig.send("a", { input: { name: 7 }, deliver: theirs });
    rig.consumer.start();
    await rig.clock.advance(1_000);
    expect(rig.outbox.messages).toHaveLength(1);
    isDown = false;
    await rig.send("a", { deliver: theirs });
    await rig.clock.advance(1_000);
    rig.outboxConsumer.start();
    await rig.clock.advance(MINUTE);
    expect(told(rig).map(({ error }) => error?.code)).toEqual(["duplicate_id", "invalid_input"]);
  });

  test("while it waits for its next attempt, is refused, and inherits nothing", async () => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(10);
    rig.run("a").fail(new KamadoError("engine_died", "The engine died."));
    await rig.clock.advance(100);
    await rig.send("a", { input: { name: "b" }, deliver: theirs });
    await rig.clock.advance(1_000);
    expect(told(rig)).toMatchObject([{ error: { code: "duplicate_id" } }]);
    expect(rig.runs).toHaveLength(1);
    await rig.clock.advance(30_000);
    expect(rig.runs).toHaveLength(2);
  });
});

describe("a job whose kind this worker does not know", () => {
  test("fails, is delivered and dead-lettered, and runs once a worker knows the kind", async () => {
    const old = createRig();
    await old.queue.send(JSON.stringify({ id: "x", kind: "mood", input: { name: "x" } }));
    old.consumer.start();
    await old.clock.advance(1_000);
    expect(old.stored("x")?.error).toMatchObject({
      code: "unknown_kind",
      message: expect.stringContaining("work"),
    });
    expect(old.deliveries.map(({ result }) => result.error?.code)).toEqual(["unknown_kind"]);
    expect(old.dead.messages.map(({ body }) => JSON.parse(body).id)).toEqual(["x"]);
    expect(old.queue.messages).toEqual([]);
    void old.consumer.stop(0);
    await old.clock.advance(12_000);

    const newer = createRig({ shared: old, kinds: ["mood"] });
    await newer.queue.send(old.dead.messages[0]!.body);
    newer.consumer.start();
    await newer.complete("x");
    expect(newer.stored("x")?.status).toBe("succeeded");
    expect(newer.deliveries.map(({ result }) => result.status)).toEqual(["succeeded"]);
  });
});

test("where a handler failed is in the log, and in the dead letter when it failed for good", async () => {
  const rig = createRig({ maxAttempts: 1 });
  const stacks: (string | undefined)[] = [];
  rig.jobEvents.subscribe((event) => event.stage === "ended" && stacks.push(event.stack));
  await rig.send("x");
  rig.consumer.start();
  await rig.clock.advance(10);
  rig.run("x").fail(new TypeError("price is undefined"));
  await rig.clock.advance(1_000);
  expect(stacks).toEqual([
    expect.stringMatching(/^TypeError: price is undefined\n +at .*run-job.test.ts:\d+/),
  ]);
  expect(JSON.parse(rig.dead.messages[0]!.attributes["kamado-errors"]!)).toContainEqual(
    expect.stringMatching(/^at .*run-job.test.ts:\d+/),
  );
});

describe("a job that cannot succeed costs only itself", () => {
  test.each([
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
    expect([rig.queue.messages, rig.outbox.messages]).toEqual([[], []]);
    expect(rig.dead.messages).toHaveLength(code === "unknown_kind" ? 1 : 0);
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

  test("a lease that once was not ours to use stays so: what was not stored is neither delivered nor deleted", async () => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(10);
    const confirm = vi.spyOn(Lease.prototype, "confirm").mockResolvedValueOnce(false);
    onTestFinished(() => confirm.mockRestore());
    rig.run("a").finish();
    await rig.clock.advance(1_000);
    expect(confirm).toHaveBeenCalledTimes(1);
    expect([rig.stored("a"), rig.deliveries, rig.queue.messages.length]).toEqual([null, [], 1]);
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

describe("the log", () => {
  test("calls the last of a job's attempts no retry", async () => {
    const rig = createRig({ maxAttempts: 2 });
    await rig.send("a");
    rig.consumer.start();
    for (const wait of [10, 60_000]) {
      await rig.clock.advance(wait);
      rig.run("a").fail(new KamadoError("engine_unavailable", "there is no answer"));
      await rig.clock.advance(1_000);
    }
    const ended = rig.events.filter((event) => event.stage === "ended");
    expect(ended.map(({ outcome, ending }) => [outcome, ending])).toEqual([
      ["retry", expect.stringMatching(/^back in \d+ s$/)],
      ["rejected", "dead-lettered"],
    ]);
  });

  test("does not read as if the delivery of a failure had failed", async () => {
    const lines: string[] = [];
    const log = createLog({
      level: "info",
      pretty: true,
      destination: { write: (line) => void lines.push(line) },
    });
    const rig = createRig({ log });
    await rig.send("bad", { input: { name: 7 }, deliver: [{ callback: "https://hooks.example/a" }] });
    await rig.send("good", { deliver: [{ callback: "https://hooks.example/a" }] });
    rig.consumer.start();
    await rig.complete("good");
    const delivered = lines.filter((line) => line.includes(" delivered "));
    expect(delivered.find((line) => line.includes("bad"))).toMatch(
      /delivered bad told callback:\S+ that the job failed/,
    );
    expect(delivered.find((line) => line.includes("good"))).toMatch(/delivered good delivered to callback:/);
    expect(delivered.join("")).not.toContain("status=");
  });
});
