// What happens to a delivery whose first try fails. Its receiver blocks neither a slot nor its job's message.
import { describe, expect, test } from "vitest";
import type { Delivery } from "../../worker/deliver/deliver.ts";
import { KamadoError } from "../../worker/errors.ts";
import type { Attempt } from "../../worker/outbox/delivery-log.ts";
import type { DeliveryRecord } from "../../worker/outbox/delivery-record.ts";
import { stepOf } from "../../worker/outbox/redeliver.ts";
import { createRig, type Rig, type RigOptions } from "../rig.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const HOOK = { callback: "https://down.example/hook?sig=t0k3n" };
const OTHER = { callback: "https://up.example/hook" };
const answer = (status: number, more: object = {}) =>
  new KamadoError(
    status < 500 && status !== 429 ? "delivery_rejected" : "delivery_failed",
    `it answered ${status}`,
    {
      detail: { httpStatus: status, ...more },
    },
  );

/** A worker whose receiver at HOOK answers with `respond`. `tries` are the times of its tries, in seconds since the first. */
function rigWith(respond: (delivery: Delivery) => KamadoError | null, options: RigOptions = {}) {
  const moments: number[] = [];
  const rig: Rig = createRig({
    ...options,
    deliver: async (delivery) => {
      if (!("callback" in delivery.destination && delivery.destination.callback === HOOK.callback)) return;
      moments.push(rig.clock.wall() / 1_000);
      const error = respond(delivery);
      if (error) throw error;
    },
  });
  return { rig, tries: () => moments.map((at) => at - moments[0]!) };
}

async function work(rig: Rig, name = "a", deliver: object[] = [HOOK]): Promise<void> {
  await rig.send(name, { deliver });
  rig.consumer.start();
  await rig.complete(name);
}
/** Stops the jobs' consumer, which is not needed for days of waiting. */
async function waitOnly(rig: Rig, ms: number): Promise<void> {
  const stopping = rig.consumer.stop(0);
  rig.outboxConsumer.start();
  await rig.clock.advance(ms);
  await stopping;
}
const share = ({ clock, queue, bucket, dead, outbox, deadDeliveries }: Rig) => ({
  clock,
  queue,
  bucket,
  dead,
  outbox,
  deadDeliveries,
});
const object = (rig: Rig, part: string) => {
  const found = [...rig.bucket.objects].find(([address]) => address.includes(part));
  return found && JSON.parse(Buffer.from(found[1].bytes).toString());
};
const logOf = (rig: Rig): Attempt[] =>
  [...rig.bucket.objects]
    .filter(([address]) => address.includes("/deliveries/a"))
    .flatMap(([, { bytes }]) => JSON.parse(Buffer.from(bytes).toString()).attempts as Attempt[])
    .toSorted((a, b) => a.at.localeCompare(b.at));

describe("a receiver that is down", () => {
  test("costs its job nothing: the message is gone, the slot is free, the next job runs", async () => {
    const { rig } = rigWith(() => answer(503), { slots: 1, prefetch: 0 });
    await work(rig);
    expect(rig.queue.messages).toEqual([]);
    expect(rig.outbox.messages).toHaveLength(1);
    await work(rig, "next", [OTHER]);
    expect(rig.stored("next")?.status).toBe("succeeded");
  });

  test("is tried ten times in three days, then the delivery becomes a dead letter with all that happened", async () => {
    const { rig, tries } = rigWith(() => answer(503));
    await work(rig);
    await waitOnly(rig, 74 * HOUR);
    const schedule = [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 113_705, 185_705, 259_200];
    expect(tries()).toHaveLength(10);
    tries().forEach((at, index) => {
      expect(at).toBeGreaterThanOrEqual(schedule[index]!);
      expect(at).toBeLessThanOrEqual(Math.min(schedule[index]! * 1.1 + 10, 259_210));
    });
    expect(rig.outbox.messages).toEqual([]);
    const [{ attributes, body }] = rig.deadDeliveries.messages as [Rig["deadDeliveries"]["messages"][0]];
    expect(JSON.parse(body)).toMatchObject({ job: { id: "a", kind: "work" }, destination: HOOK });
    expect(attributes).toMatchObject({
      "kamado-code": "attempts_exhausted",
      "kamado-reason": expect.stringContaining("10 tries"),
      "kamado-receives": "10",
      "kamado-first-at": expect.stringMatching(/^2026-01-01T/),
      "kamado-last-at": expect.stringMatching(/^2026-01-04T/),
      "kamado-receipt": expect.stringContaining('"worker":"rig"'),
    });
    expect(JSON.parse(attributes["kamado-errors"]!)).toHaveLength(12);
    expect(rig.runs).toHaveLength(1);
  });

  test("has every try in the delivery log, with its outcome and the time of the next one, and no secret", async () => {
    let down = true;
    const { rig } = rigWith(() => (down ? answer(503) : null));
    await work(rig);
    await waitOnly(rig, 10_000);
    down = false;
    await rig.clock.advance(10 * MINUTE);
    expect(logOf(rig).map(({ attempt, outcome, status }) => [attempt, outcome, status])).toEqual([
      [1, "failed", 503],
      [2, "failed", 503],
      [3, "delivered", undefined],
    ]);
    expect(logOf(rig)[0]).toMatchObject({
      to: "callback:https://down.example/hook",
      error: "delivery_failed",
      nextAt: expect.stringMatching(/^2026-01-01T00:00:0/),
      worker: "rig",
    });
    expect(JSON.stringify(logOf(rig))).not.toContain("t0k3n");
  });

  test("keeps its count of tries and its schedule when another worker takes over", async () => {
    const { rig, tries } = rigWith(() => answer(503));
    await work(rig);
    await waitOnly(rig, MINUTE);
    expect(tries()).toHaveLength(2);
    const stopping = rig.outboxConsumer.stop(0);
    await rig.clock.advance(30_000);
    await stopping;
    const other = rigWith(() => answer(503), { shared: share(rig) });
    other.rig.outboxConsumer.start();
    await rig.clock.advance(3 * MINUTE);
    expect(other.tries()).toEqual([]);
    await rig.clock.advance(3 * MINUTE);
    expect(logOf(rig).map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    await rig.clock.advance(20 * MINUTE);
    expect(other.tries()).toHaveLength(1);
  });

  test("that sends Retry-After is not tried before then", async () => {
    const { rig, tries } = rigWith(() => answer(503, { retryAfterMs: 50 * MINUTE }));
    await work(rig);
    await waitOnly(rig, 49 * MINUTE);
    expect(tries()).toHaveLength(1);
    await rig.clock.advance(8 * MINUTE);
    expect(tries()).toHaveLength(2);
  });
});

describe("a receiver whose deliveries are held back", () => {
  const held = () =>
    new KamadoError("delivery_failed", "it is down", {
      detail: { heldBack: true, retryAfterMs: 10 * MINUTE },
    });

  test("uses up no tries meanwhile, and gets its delivery soon after", async () => {
    let respond = (): KamadoError | null => answer(503);
    const { rig } = rigWith(() => respond());
    await work(rig);
    respond = held;
    await waitOnly(rig, 20 * HOUR);
    const waited = logOf(rig).slice(1);
    expect(new Set(waited.map(({ attempt, outcome }) => `${attempt} ${outcome}`))).toEqual(
      new Set(["2 held back"]),
    );
    expect(waited.length).toBeLessThan(60);
    respond = () => null;
    await rig.clock.advance(2.5 * HOUR);
    expect(logOf(rig).at(-1)).toMatchObject({ attempt: 2, outcome: "delivered" });
  });

  test("is tried at the end of the third day, even if all were held back since the first try", async () => {
    const asked: boolean[] = [];
    const { rig } = rigWith(({ insist = false }) => {
      asked.push(insist);
      return insist ? answer(503) : held();
    });
    await work(rig);
    await waitOnly(rig, 71.9 * HOUR);
    expect([asked.includes(true), rig.deadDeliveries.messages]).toEqual([false, []]);
    expect(new Set(logOf(rig).map(({ attempt }) => attempt))).toEqual(new Set([1]));
    await rig.clock.advance(HOUR);
    expect(asked.filter((insist) => insist)).toHaveLength(1);
    expect(rig.deadDeliveries.messages[0]!.attributes).toMatchObject({
      "kamado-code": "attempts_exhausted",
      "kamado-reason": expect.stringContaining("it answered 503"),
    });
  });
});

describe("a receiver that refuses", () => {
  test("gets nothing more of that job, and the delivery becomes a dead letter at once", async () => {
    const { rig, tries } = rigWith(() => answer(404));
    await work(rig);
    await waitOnly(rig, HOUR);
    expect(tries()).toHaveLength(1);
    expect(rig.deadDeliveries.messages[0]!.attributes).toMatchObject({ "kamado-code": "delivery_rejected" });
  });

  test("with 410 is turned off for every job and every worker, and no other destination is", async () => {
    const { rig, tries } = rigWith(() => answer(410));
    await work(rig);
    await work(rig, "b");
    const other = rigWith(() => null, { shared: share(rig) });
    await waitOnly(rig, MINUTE);
    await other.rig.send("c", { deliver: [HOOK, OTHER] });
    other.rig.consumer.start();
    await other.rig.complete("c");
    expect([tries().length, other.tries().length]).toEqual([1, 0]);
    expect(other.rig.deliveries.map(({ destination }) => destination)).toEqual([OTHER]);
    expect(rig.deadDeliveries.messages.map(({ attributes }) => attributes["kamado-code"])).toEqual([
      "delivery_rejected",
      "destination_off",
      "destination_off",
    ]);
    expect(object(rig, "/destinations/")).toMatchObject({ to: "callback:https://down.example/hook" });
    expect(JSON.stringify(object(rig, "/destinations/"))).not.toContain("t0k3n");
  });
});

describe("when something it needs fails", () => {
  test("if the outbox cannot take a delivery, the job's message is kept, and only this delivery is tried again", async () => {
    let down = true;
    const { rig, tries } = rigWith(() => (down ? answer(503) : null));
    rig.outbox.missing = true;
    await work(rig, "a", [HOOK, OTHER]);
    expect(rig.queue.messages).toHaveLength(1);
    down = false;
    await rig.clock.advance(MINUTE);
    expect(tries()).toHaveLength(2);
    expect(rig.deliveries.map(({ destination }) => destination)).toEqual([OTHER, HOOK]);
    expect(rig.queue.messages).toEqual([]);
    expect(rig.runs).toHaveLength(1);
  });

  test("without a delivery log deliveries go on, and still end", async () => {
    const { rig, tries } = rigWith(() => answer(503));
    await work(rig);
    const { put, get } = rig.bucket;
    const refuse = async () => Promise.reject(new KamadoError("object_forbidden", "not allowed"));
    Object.assign(rig.bucket, { put: refuse, get: refuse });
    await waitOnly(rig, 80 * HOUR);
    Object.assign(rig.bucket, { put, get });
    expect(tries().length).toBeGreaterThan(5);
    expect(tries().length).toBeLessThan(100);
    expect(rig.deadDeliveries.messages).toHaveLength(1);
    expect(rig.outbox.messages).toEqual([]);
  });

  test("a message that is not a delivery becomes a dead letter with the reason", async () => {
    const { rig } = rigWith(() => null);
    await rig.outbox.send('{"type": "kamado.delivery", "version": 9}');
    await waitOnly(rig, MINUTE);
    expect(rig.outbox.messages).toEqual([]);
    expect(rig.deadDeliveries.messages[0]!.attributes).toMatchObject({ "kamado-code": "invalid_envelope" });
  });
});

describe("a delivery too long for a message", () => {
  const long = { name: "a", more: "x".repeat(1_100_000) };
  const objects = (rig: Rig) => [...rig.bucket.objects.keys()].filter((key) => key.includes("/outbox/"));

  /** One that is in the outbox and in the bucket, because its receiver was down. */
  async function waiting() {
    const seen: Delivery[] = [];
    const now: { error: KamadoError | null } = { error: answer(503) };
    const rig = createRig({
      deliver: async (delivery) => {
        seen.push(delivery);
        if (now.error) throw now.error;
      },
    });
    await rig.bucket.put(
      "in/a.json",
      JSON.stringify({ id: "a", kind: "none", input: long, deliver: [{ rest: "https://down.example/" }] }),
      { contentType: "application/json" },
    );
    await rig.queue.send(JSON.stringify(["x", { s3BucketName: "kamado", s3Key: "in/a.json" }]));
    rig.consumer.start();
    await rig.clock.advance(1_000);
    return { rig, seen, now };
  }

  test("is in the bucket until it is delivered", async () => {
    const { rig, seen, now } = await waiting();
    expect(rig.outbox.messages[0]!.body.length).toBeLessThan(2_000);
    expect(objects(rig)).toHaveLength(1);
    now.error = null;
    rig.outboxConsumer.start();
    await rig.clock.advance(MINUTE);
    expect(seen.map(({ input }) => input)).toEqual([long, long]);
    expect([rig.outbox.messages, objects(rig)]).toEqual([[], []]);
  });

  test("that is received again or sent twice after its delivery is not treated as lost", async () => {
    const { rig, seen, now } = await waiting();
    await rig.outbox.send(rig.outbox.messages[0]!.body, { delaySeconds: 600 });
    now.error = null;
    for (let i = 0; i < 60; i++) rig.outbox.next("remove", { is: "fail" });
    rig.outboxConsumer.start();
    await rig.clock.advance(20 * MINUTE);
    expect(seen).toHaveLength(2);
    expect([rig.outbox.messages, rig.deadDeliveries.messages]).toEqual([[], []]);
  });

  test("is in the bucket as long as its dead letter needs it", async () => {
    const { rig, seen, now } = await waiting();
    now.error = answer(404);
    rig.outboxConsumer.start();
    await rig.clock.advance(MINUTE);
    const [dead] = rig.deadDeliveries.messages;
    expect(objects(rig)).toHaveLength(1);
    now.error = null;
    await rig.outbox.send(dead!.body);
    await rig.clock.advance(MINUTE);
    expect(seen.at(-1)?.input).toEqual(long);
    expect(objects(rig)).toEqual([]);
  });
});

describe("what to do with a delivery that was received", () => {
  const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1) + seconds * 1_000).toISOString();
  const record = {
    since: at(0),
    tries: 1,
    notBefore: at(5),
    result: { status: "succeeded" },
  } as DeliveryRecord;
  const attempt = (seconds: number, outcome: Attempt["outcome"], next?: number): Attempt => ({
    at: at(seconds),
    key: "k",
    to: "callback:https://a.example",
    result: "succeeded",
    attempt: 1,
    outcome,
    tookMs: 1,
    worker: "w",
    ...(next !== undefined && { nextAt: at(next) }),
  });
  const first = attempt(0, "failed", 5);

  test.each<[string, Attempt[] | null, number, number, ReturnType<typeof stepOf>]>([
    ["its next try is not due yet: it waits", [first], 2, 1, { is: "wait", ms: 3_000 }],
    ["its next try is due", [first], 6, 1, { is: "try", tries: 1 }],
    [
      "it is received again before the end of a long wait",
      [first, attempt(6, "failed", 300)],
      100,
      2,
      { is: "wait", ms: 200_000 },
    ],
    ["the try after that is due", [first, attempt(6, "failed", 300)], 301, 3, { is: "try", tries: 2 }],
    ["another message delivered it", [first, attempt(6, "delivered")], 300, 2, { is: "drop" }],
    ["another message made it a dead letter", [first, attempt(6, "refused")], 300, 2, { is: "drop" }],
    [
      "it was delivered in an earlier round and redriven since",
      [attempt(-50, "delivered")],
      6,
      1,
      { is: "try", tries: 1 },
    ],
    [
      "a failure was delivered under the same id, not this success",
      [{ ...attempt(6, "delivered"), result: "failed" }],
      7,
      1,
      { is: "try", tries: 1 },
    ],
    ["the log has no try of it", [], 6, 4, { is: "try", tries: 1 }],
    ["without a log its receives count as tries", null, 6, 4, { is: "try", tries: 4 }],
    [
      "without a log receives alone never make a try the last one",
      null,
      24 * 3_600,
      10,
      { is: "try", tries: 8 },
    ],
    ["without a log the last try comes after its three days", null, 72 * 3_600, 10, { is: "try", tries: 10 }],
    [
      "a delivery that was held back does not count as a try",
      [first, attempt(6, "held back", 30), attempt(31, "held back", 60)],
      61,
      3,
      { is: "try", tries: 1 },
    ],
  ])("%s", (_, past, seconds, receiveCount, step) =>
    expect(stepOf(record, past, { receiveCount }, Date.parse(at(seconds)))).toEqual(step),
  );
});
