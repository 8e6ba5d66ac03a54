// An attempt is a started run of the handler. What SQS counts as receives without a run (drains, prefetch, a job that runs
// elsewhere) uses none up; a run that ends with its worker does.
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { FakeBucket } from "../fakes/bucket.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeQueue } from "../fakes/queue.ts";
import { createRig, type Rig, type RigOptions } from "../rig.ts";

const SECOND = 1_000;
const MINUTE = 60_000;
const KEY = "s3://kamado/running/a.json";
const JSON_TYPE = { contentType: "application/json" };

function world(bucket: Partial<FakeBucket> = {}) {
  const clock = new FakeClock();
  return {
    clock,
    queue: new FakeQueue("jobs", { clock }),
    dead: new FakeQueue("dead", { clock }),
    bucket: Object.assign(new FakeBucket({ clock }), bucket),
  };
}

/** The same port for one worker; once that worker is dead, no call of its ends. */
function of<T extends object>(port: T, life: { isOver: boolean }): T {
  return new Proxy(port, {
    get(target, key) {
      const member = Reflect.get(target, key, target);
      if (typeof member !== "function") return member;
      return (...given: unknown[]) =>
        life.isOver ? new Promise(() => {}) : Reflect.apply(member, target, given);
    },
  });
}

/** A worker that can die: from then on it neither calls anything nor hears of anything. */
function mortal(shared: ReturnType<typeof world>, options: RigOptions = {}) {
  const life = { isOver: false };
  const { clock } = shared;
  const ports = { queue: of(shared.queue, life), dead: shared.dead, bucket: of(shared.bucket, life) };
  const rig = createRig({ ...options, shared: { clock, ...ports } });
  const die = () => {
    life.isOver = true;
  };
  return { rig, die };
}

async function stop(rig: Rig): Promise<void> {
  const stopped = rig.consumer.stop(0);
  await rig.clock.advance(16 * SECOND);
  await stopped;
}

const failing = () => new KamadoError("handler_failed", "not yet");
const STORES: [string, Partial<FakeBucket>][] = [
  ["a store with conditional writes", {}],
  ["a store that ignores conditions", { ignoresConditions: true }],
];

describe("uses up no attempt:", () => {
  test.each(STORES)("a run that a stop cuts, however often, with %s", async (_, store) => {
    const shared = world(store);
    const options = { shared, maxAttempts: 2, slots: 1, prefetch: 4 };
    await createRig(options).send("a");
    for (let drains = 0; drains < 6; drains++) {
      const rig = createRig(options);
      rig.consumer.start();
      await rig.clock.advance(SECOND);
      expect(rig.runs).toHaveLength(1);
      await stop(rig);
    }
    const last = createRig(options);
    last.consumer.start();
    await last.clock.advance(SECOND);
    last.run("a").fail(failing());
    await last.clock.advance(20 * SECOND);
    expect(last.stored("a")).toBeNull();
    last.run("a").finish();
    await last.clock.advance(SECOND);
    expect(last.stored("a")).toMatchObject({ status: "succeeded", receipt: { attempts: 2 } });
    expect(shared.dead.messages).toEqual([]);
  });

  test("a message that waits for a slot and goes back", async () => {
    const shared = world();
    const options = { shared, maxAttempts: 1, slots: 1, prefetch: 4 };
    for (const name of ["long", "a"]) await createRig(options).send(name);
    for (let drains = 0; drains < 6; drains++) {
      const rig = createRig(options);
      rig.consumer.start();
      await rig.clock.advance(SECOND);
      await stop(rig);
    }
    const last = createRig({ ...options, slots: 2 });
    last.consumer.start();
    await last.clock.advance(SECOND);
    for (const run of last.runs) run.finish();
    await last.clock.advance(SECOND);
    expect(last.stored("a")).toMatchObject({ status: "succeeded", receipt: { attempts: 1 } });
  });

  test("a second message of a job that runs for long", async () => {
    const shared = world();
    const rig = createRig({ shared, maxAttempts: 3, timeoutSeconds: 7_200 });
    for (const _ of [1, 2]) await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(60 * MINUTE);
    expect(shared.queue.messages.some(({ receiveCount }) => receiveCount > 3)).toBe(true);
    // The first message is gone, so the second one, which was received more often, runs the job again.
    const [first] = shared.queue.messages;
    rig.run("a").fail(failing());
    await rig.clock.advance(SECOND);
    await shared.queue.remove([first!.handle!]);
    await rig.clock.advance(16 * MINUTE);
    rig.run("a").fail(failing());
    await rig.clock.advance(16 * MINUTE);
    rig.run("a").finish();
    await rig.clock.advance(16 * MINUTE);
    expect(rig.stored("a")).toMatchObject({ status: "succeeded", receipt: { attempts: 3 } });
    expect(shared.dead.messages).toEqual([]);
  });

  test("a lease that was lost in a sleep", async () => {
    const rig = createRig({ maxAttempts: 1, timeoutSeconds: 7_200 });
    await rig.send("a");
    rig.consumer.start();
    for (let sleeps = 0; sleeps < 4; sleeps++) {
      await rig.clock.advance(20 * MINUTE);
      expect(rig.runs).toHaveLength(sleeps + 1);
      rig.queue.takeAway(rig.queue.messages[0]!.id);
      rig.clock.epoch += 10 * MINUTE;
      await rig.clock.advance(MINUTE);
    }
    await rig.clock.advance(20 * MINUTE);
    rig.run("a").finish();
    await rig.clock.advance(SECOND);
    expect(rig.stored("a")).toMatchObject({ status: "succeeded", receipt: { attempts: 1 } });
  });

  test("a bucket that cannot say whether the job is done", async () => {
    const rig = createRig({ maxAttempts: 1, timeoutSeconds: 7_200 });
    await rig.send("a");
    for (let outages = 0; outages < 6; outages++) rig.bucket.next("get", { is: "fail" });
    rig.consumer.start();
    await rig.clock.advance(20 * MINUTE);
    rig.run("a").finish();
    await rig.clock.advance(SECOND);
    expect(rig.stored("a")).toMatchObject({ status: "succeeded", receipt: { attempts: 1 } });
  });
});

describe("counts as an attempt:", () => {
  test.each(STORES)("a run that ends with its worker, with %s", async (_, store) => {
    const shared = world(store);
    const options = { maxAttempts: 3, visibilitySeconds: 30 };
    await createRig({ shared }).send("a");
    let runs = 0;
    for (let deaths = 0; deaths < 5; deaths++) {
      const { rig, die } = mortal(shared, options);
      rig.consumer.start();
      await rig.clock.advance(2 * MINUTE);
      runs += rig.runs.length;
      die();
      await rig.clock.advance(MINUTE);
    }
    expect(runs).toBe(3);
    const last = createRig({ shared });
    expect(last.stored("a")).toMatchObject({
      status: "failed",
      error: { code: "attempts_exhausted", message: expect.stringContaining("3 runs") },
    });
    expect(shared.dead.messages[0]?.attributes["kamado-code"]).toBe("attempts_exhausted");
    expect(shared.queue.messages).toEqual([]);
    expect(shared.bucket.objects.has(KEY)).toBe(false);
  });

  test("a run whose result could not be stored: the model does not work for it without end", async () => {
    const rig = createRig({ maxAttempts: 2 });
    await rig.send("a");
    rig.consumer.start();
    for (const _ of [1, 2]) {
      await rig.clock.advance(MINUTE);
      for (let tries = 0; tries < 5; tries++) rig.bucket.next("put", { is: "fail" });
      rig.run("a").finish();
      await rig.clock.advance(20 * SECOND);
    }
    await rig.clock.advance(10 * MINUTE);
    expect(rig.runs).toHaveLength(2);
    expect(rig.stored("a")?.error?.code).toBe("attempts_exhausted");
  });
});

test("the waits grow with the attempts, not with the receives", async () => {
  const shared = world();
  const options = { shared, slots: 1, prefetch: 4 };
  await createRig(options).send("a");
  for (let drains = 0; drains < 8; drains++) {
    const rig = createRig(options);
    rig.consumer.start();
    await rig.clock.advance(SECOND);
    await stop(rig);
  }
  const last = createRig(options);
  last.consumer.start();
  await last.clock.advance(SECOND);
  last.run("a").fail(failing());
  await last.clock.advance(6 * SECOND);
  expect(last.runs).toHaveLength(2);
});

test("a lock of an older version counts no attempts", async () => {
  const rig = createRig({ maxAttempts: 1 });
  const old = { worker: "w", token: "t", beat: 0, holdMs: 0, deaths: { beside: 1, alone: 0 } };
  await rig.bucket.put("running/a.json", JSON.stringify(old), JSON_TYPE);
  await rig.send("a");
  rig.consumer.start();
  await rig.complete("a");
  expect(rig.stored("a")).toMatchObject({ status: "succeeded", receipt: { attempts: 1 } });
});

test("deaths of the engine use up no attempt: they have a limit of their own", async () => {
  const rig = createRig({ maxAttempts: 1 });
  await rig.send("a");
  rig.consumer.start();
  for (const _ of [1, 2]) {
    await rig.clock.advance(MINUTE);
    rig.run("a").fail(new KamadoError("engine_died", "it ended"));
  }
  await rig.clock.advance(MINUTE);
  rig.run("a").finish();
  await rig.clock.advance(SECOND);
  expect(rig.stored("a")).toMatchObject({ status: "succeeded", receipt: { attempts: 3 } });
});

describe("calls to the bucket a job:", () => {
  test("a job that succeeds at once costs six, as before attempts were counted", async () => {
    const rig = createRig();
    const total = () => Object.values(rig.bucket.calls).reduce((sum, calls) => sum + calls, 0);
    await rig.send("first");
    rig.consumer.start();
    await rig.complete("first");
    const before = total();
    await rig.send("a");
    await rig.complete("a");
    expect(total() - before).toBe(CALLS);
  });
});
const CALLS = 6;

describe("the log", () => {
  test("says of the last attempt that the job was given up, and why", async () => {
    const rig = createRig({ maxAttempts: 1 });
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(10);
    rig.run("a").fail(failing());
    await rig.clock.advance(SECOND);
    expect(rig.endOf("a")).toMatchObject({
      outcome: "rejected",
      error: "attempts_exhausted",
      lastError: "handler_failed",
      ending: "dead-lettered",
    });
  });

  test("names the job that was interrupted, not only its message", async () => {
    const rig = createRig({ slots: 1 });
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(10);
    await stop(rig);
    expect(rig.endOf("a")).toMatchObject({ outcome: "interrupted", kind: "work" });
  });

  test("calls a result that could not be stored by its name, and no failed delivery", async () => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(10);
    for (let tries = 0; tries < 5; tries++) rig.bucket.next("put", { is: "fail" });
    rig.run("a").finish();
    await rig.clock.advance(9_000);
    const stages = rig.events.map(({ stage }) => stage);
    expect(stages).toContain("store_failed");
    expect(stages).not.toContain("delivery_failed");
  });
});

describe("a worker that meets its own lock", () => {
  test("because the bucket did not take its removal runs the job at once", async () => {
    const rig = createRig({ visibilitySeconds: 600 });
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(10);
    rig.bucket.next("remove", { is: "fail" });
    rig.bucket.next("putIf", { is: "fail" });
    rig.run("a").fail(failing());
    await rig.clock.advance(10 * SECOND);
    expect(rig.runs).toHaveLength(2);
  });

  test("because the answer to its write was lost runs the job after its first wait", async () => {
    const rig = createRig({ visibilitySeconds: 600 });
    await rig.send("first");
    rig.consumer.start();
    await rig.complete("first");
    rig.bucket.next("putIf", { is: "drop" });
    await rig.send("a");
    await rig.clock.advance(20 * SECOND);
    expect(rig.runs).toHaveLength(2);
  });
});
