import { expect, test } from "vitest";
import { Pace } from "../../worker/deliver/pace.ts";
import { KamadoError } from "../../worker/errors.ts";
import type { Destination } from "../../worker/job/envelope.ts";
import { FakeClock } from "../fakes/clock.ts";
import { known } from "../fakes/known.ts";
import { errorOf } from "./deliveries.ts";

/** Starts `count` deliveries that wait until `letGo`. */
function start(pace: Pace, to: Destination, count: number, signal?: AbortSignal) {
  const gate = Promise.withResolvers<void>();
  const seen = { made: 0, running: 0, peak: 0 };
  const work = async () => {
    seen.made += 1;
    seen.peak = Math.max(seen.peak, ++seen.running);
    await gate.promise;
    seen.running -= 1;
  };
  const all = Array.from({ length: count }, () => pace.run(to, signal, work));
  return { all: Promise.all(all), seen, letGo: () => gate.resolve() };
}
const make = (
  destinations = [] as ConstructorParameters<typeof Pace>[0]["destinations"],
  clock = new FakeClock(),
) => new Pace({ destinations, clock });
const asking = (status: number, retryAfterMs?: number) => () =>
  Promise.reject(new KamadoError("delivery_failed", "no", { detail: { httpStatus: status, retryAfterMs } }));

/** Lets each of them answer once, as receivers do that work. */
const prove = async (pace: Pace, ...destinations: Destination[]) => {
  for (const to of destinations) await pace.run(to, undefined, async () => {});
};

test("one origin gets eight deliveries at a time, and others do not wait for it", async () => {
  const pace = make();
  const [x, y, other] = ["https://a.example/x", "https://a.example/y", "https://b.example/"].map(
    (callback) => ({
      callback,
    }),
  ) as [Destination, Destination, Destination];
  await prove(pace, x, y);
  const all = [start(pace, x, 8), start(pace, y, 8), start(pace, other, 1)] as const;
  await expect.poll(() => all.map(({ seen }) => seen.running)).toEqual([7, 1, 1]);
  for (const { letGo } of all) letGo();
  await Promise.all(all.map((one) => one.all));
  expect(all.map(({ seen }) => seen.made)).toEqual([8, 8, 1]);
});

test("one destination that hangs leaves a turn to the others of its origin", async () => {
  const pace = make();
  const [hanging, healthy] = [{ callback: "https://a.example/evil" }, { callback: "https://a.example/good" }];
  await prove(pace, hanging, healthy);
  const evil = start(pace, hanging, 14);
  await prove(pace, healthy, healthy, healthy);
  evil.letGo();
  await evil.all;
});

test("destinations that somebody made up leave half of an origin's turns to those that answer", async () => {
  const pace = make();
  const healthy = { callback: "https://a.example/good" };
  await prove(pace, healthy);
  const made = Array.from({ length: 8 }, (_, i) => start(pace, { callback: `https://a.example/${i}` }, 1));
  await expect.poll(() => made.filter(({ seen }) => seen.running === 1)).toHaveLength(4);
  await prove(pace, healthy);
  for (const { letGo } of made) letGo();
  await Promise.all(made.map((one) => one.all));
});

test("an address that answers keeps its places although others of its origin, made up or not, do not answer", async () => {
  const pace = make();
  const healthy = { callback: "https://a.example/good" };
  await prove(pace, healthy);
  const silence = () => Promise.reject(new KamadoError("delivery_failed", "silence"));
  await errorOf(pace.run({ callback: "https://a.example/hang" }, undefined, silence));
  const hanging: ReturnType<typeof start>[] = [];
  const refused: unknown[] = [];
  for (let i = 0; i < 20; i++) {
    const one = start(pace, { callback: `https://a.example/hang-${i}` }, 1);
    one.all.catch((error) => refused.push(error));
    hanging.push(one);
    await prove(pace, healthy);
  }
  expect(hanging.filter(({ seen }) => seen.running === 1)).toHaveLength(4);
  expect(refused).toHaveLength(12);
  for (const { letGo } of hanging) letGo();
  await Promise.allSettled(hanging.map((one) => one.all));
});

test("receivers that do not answer take half of the worker's places; beyond that their deliveries are held back at once", async () => {
  const pace = make();
  const healthy = { callback: "https://healthy.example/" };
  await prove(pace, healthy);
  const hanging = Array.from({ length: 16 }, (_, i) =>
    start(pace, { callback: `https://s${i}.example/` }, 2),
  );
  expect(
    await errorOf(pace.run({ callback: "https://s17.example/" }, undefined, async () => {})),
  ).toMatchObject({
    code: "delivery_failed",
    detail: { heldBack: true, retryAfterMs: 5_000 },
  });
  await prove(pace, healthy);
  for (const { letGo } of hanging) letGo();
  await Promise.all(hanging.map((one) => one.all));
});

test("one receiver takes a quarter of the worker's places at most, and two places if it stops answering", async () => {
  const pace = make();
  const to = { callback: "https://a.example/" };
  await prove(pace, to);
  const other = { callback: "https://a.example/other" };
  await prove(pace, other);
  const many = start(pace, to, 14);
  expect((await errorOf(pace.run(to, undefined, async () => {}))).detail?.heldBack).toBe(true);
  const more = start(pace, other, 2);
  expect((await errorOf(pace.run(other, undefined, async () => {}))).detail?.heldBack).toBe(true);
  for (const { letGo } of [many, more]) letGo();
  await Promise.all([many.all, more.all]);
  await errorOf(pace.run(to, undefined, () => Promise.reject(new KamadoError("delivery_failed", "silence"))));
  const few = start(pace, to, 2);
  expect((await errorOf(pace.run(to, undefined, async () => {}))).detail?.heldBack).toBe(true);
  few.letGo();
  await few.all;
});

test.each([
  ["like one that does not answer", [], true],
  ["unless the destinations file lists it", [known("https://slow.example/")], undefined],
])("a receiver that answers slowly shares its places %s", async (_, destinations, isHeldBack) => {
  const clock = new FakeClock();
  const pace = make(destinations, clock);
  const to = { callback: "https://slow.example/" };
  const slow = pace.run(to, undefined, () => clock.sleep(4_000));
  await clock.advance(4_000);
  await slow;
  const few = start(pace, to, 2);
  const third = pace.run(to, undefined, async () => {});
  const error = await third.then(
    () => undefined,
    (thrown: KamadoError) => thrown,
  );
  expect(error?.detail?.heldBack).toBe(isHeldBack);
  few.letGo();
  await few.all;
});

test("a topic, a queue and a receiver of the destinations file need no first answer", async () => {
  const pace = make([known("https://a.example/")]);
  const all = [
    { sns: "arn:aws:sns:us-east-1:1:t" },
    { callback: "https://a.example/x" },
    { sqs: "https://q.example/1" },
  ];
  const started = all.map((to) => start(pace, to as Destination, 3));
  for (const { letGo } of started) letGo();
  await Promise.all(started.map((one) => one.all));
});

test("a last try is not held back when there is no place; it waits for its turn", async () => {
  const pace = make();
  const to = { callback: "https://a.example/" };
  const hanging = start(pace, to, 2);
  expect((await errorOf(pace.run(to, undefined, async () => {}))).detail?.heldBack).toBe(true);
  let made = 0;
  const last = pace.run(to, undefined, async () => void made++, true);
  hanging.letGo();
  await Promise.all([hanging.all, last]);
  expect(made).toBe(1);
});

test("a receiver gets as many at a time as the destinations file says", async () => {
  const pace = make([known("https://a.example/slow", { maxConcurrent: 2, maxPerSecond: 1_000 })]);
  await prove(pace, { callback: "https://a.example/slow/1" });
  const slow = start(pace, { callback: "https://a.example/slow/1" }, 3);
  await prove(pace, { callback: "https://a.example/fast" });
  const rest = start(pace, { callback: "https://a.example/fast" }, 3);
  await expect.poll(() => [slow.seen.running, rest.seen.running]).toEqual([2, 3]);
  for (const { letGo } of [slow, rest]) letGo();
  await Promise.all([slow.all, rest.all]);
  expect(slow.seen).toMatchObject({ made: 3, peak: 2 });
});

test("a delivery that waits for its turn is given up at once when its lease is lost, and is never sent", async () => {
  const pace = make([known("https://a.example/", { maxConcurrent: 1 })]);
  const to = { callback: "https://a.example/" };
  const first = start(pace, to, 1);
  const lease = new AbortController();
  const waiting = start(pace, to, 1, lease.signal);
  lease.abort(new Error("the lease is lost"));
  await expect(waiting.all).rejects.toThrow("the lease is lost");
  first.letGo();
  // The next delivery gets its turn.
  await pace.run(to, undefined, async () => {});
  expect(waiting.seen.made).toBe(0);
});

test("a receiver that asks for a pause gets it; then deliveries go on", async () => {
  const clock = new FakeClock();
  const pace = make([], clock);
  const to = { callback: "https://a.example/" };
  await errorOf(pace.run(to, undefined, asking(429, 10_000)));
  let made = 0;
  const error = await errorOf(pace.run(to, undefined, async () => void made++));
  expect(error).toMatchObject({ code: "delivery_failed", detail: { retryAfterMs: 10_000 } });
  await pace.run({ callback: "https://b.example/" }, undefined, async () => void made++);
  await clock.advance(10_000);
  await pace.run(to, undefined, async () => void made++);
  expect(made).toBe(2);
});

test("a pause is about the address that asked for it, not about the others of its origin", async () => {
  const pace = make();
  await errorOf(pace.run({ callback: "https://a.example/evil" }, undefined, asking(429, 10_000)));
  await prove(pace, { callback: "https://a.example/good" });
});

test("a last try ignores the pause", async () => {
  const pace = make();
  const to = { callback: "https://a.example/" };
  await errorOf(pace.run(to, undefined, asking(429, 10_000)));
  let made = 0;
  await pace.run(to, undefined, async () => void made++, true);
  expect(made).toBe(1);
});

test("a very long pause applies to its own delivery, but not to others of the same destination", async () => {
  const clock = new FakeClock();
  const pace = make([], clock);
  const error = await errorOf(
    pace.run({ callback: "https://a.example/" }, undefined, asking(503, 3_600_000)),
  );
  expect(error.detail!.retryAfterMs).toBe(3_600_000);
  await clock.advance(60_000);
  await pace.run({ callback: "https://a.example/" }, undefined, async () => {});
});

test("a failure without Retry-After does not ask for a pause", async () => {
  const pace = make();
  const to = { callback: "https://a.example/" };
  await errorOf(pace.run(to, undefined, asking(500)));
  await pace.run(to, undefined, async () => {});
});

test("receivers without deliveries are forgotten", async () => {
  const pace = make([known("https://known.example/")]);
  for (let index = 0; index < 50; index++)
    await pace.run({ callback: `https://a${index}.example/` }, undefined, async () => {});
  await pace.run({ callback: "https://known.example/x" }, undefined, async () => {});
  await pace.run({ sns: "arn:aws:sns:us-east-1:1:t" }, undefined, async () => {});
  expect(pace.size).toBeLessThanOrEqual(2);
});
