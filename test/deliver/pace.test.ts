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

test("one origin gets eight deliveries at a time, and others do not wait for it", async () => {
  const pace = make();
  const one = start(pace, { callback: "https://a.example/x" }, 12);
  const other = start(pace, { rest: "https://b.example/" }, 1);
  await expect.poll(() => [one.seen.running, other.seen.running]).toEqual([8, 1]);
  for (const { letGo } of [one, other]) letGo();
  await Promise.all([one.all, other.all]);
  expect(one.seen).toMatchObject({ made: 12, peak: 8 });
});

test("a receiver gets as many at a time as the destinations file says", async () => {
  const pace = make([known("https://a.example/slow", { maxConcurrent: 2, maxPerSecond: 1_000 })]);
  const slow = start(pace, { callback: "https://a.example/slow/1" }, 3);
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

test("a last try ignores the pause", async () => {
  const pace = make();
  const to = { callback: "https://a.example/" };
  await errorOf(pace.run(to, undefined, asking(429, 10_000)));
  let made = 0;
  await pace.run(to, undefined, async () => void made++, true);
  expect(made).toBe(1);
});

test("a very long pause applies to its own delivery, but not to others of the same receiver", async () => {
  const clock = new FakeClock();
  const pace = make([], clock);
  const error = await errorOf(
    pace.run({ callback: "https://a.example/1" }, undefined, asking(503, 3_600_000)),
  );
  expect(error.detail!.retryAfterMs).toBe(3_600_000);
  await clock.advance(60_000);
  await pace.run({ callback: "https://a.example/2" }, undefined, async () => {});
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
