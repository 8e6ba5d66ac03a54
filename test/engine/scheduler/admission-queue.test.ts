import { describe, expect, test } from "vitest";
import { AdmissionQueue, retryAfterSeconds } from "../../../worker/engine/scheduler/admission-queue.ts";
import { INTERACTIVE } from "../../../worker/engine/scheduler/queue-order.ts";

const never = new AbortController().signal;
const enter = (queue: AdmissionQueue, rank = INTERACTIVE) => queue.enter(rank)[0]!;
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("the line", () => {
  test("lets in as many as there are slots, then one for each that leaves, in order", async () => {
    const queue = new AdmissionQueue(2, 10);
    const order: number[] = [];
    const places = [0, 1, 2, 3].map((n) => {
      const place = enter(queue);
      void place.turn(never).then(() => order.push(n));
      return place;
    });
    await settled();
    expect([order, queue.busy, queue.waiting]).toEqual([[0, 1], 2, 2]);
    places[1]!.leave();
    await settled();
    expect([order, queue.busy, queue.waiting]).toEqual([[0, 1, 2], 2, 1]);
    for (const place of [0, 2, 3, 0, 2, 3]) places[place]!.leave();
    await settled();
    expect([queue.busy, queue.waiting]).toEqual([0, 0]);
  });

  test("counts those who are only being prepared, and is full for the next", () => {
    const queue = new AdmissionQueue(1, 1);
    const [first] = [enter(queue), enter(queue)];
    expect(() => enter(queue)).toThrow("All 1 slots are taken");
    first!.leave();
    enter(queue);
  });

  test("who gives up leaves no gap", async () => {
    const queue = new AdmissionQueue(1, 10);
    const [first, second, third] = [enter(queue), enter(queue), enter(queue)];
    const bored = new AbortController();
    await first.turn(never);
    const given = second.turn(bored.signal).catch(() => second.leave());
    const turn = third.turn(never);
    bored.abort();
    await given;
    first.leave();
    await turn;
    expect([queue.busy, queue.waiting]).toEqual([1, 0]);
  });
});

test("several answers come in together or not at all", () => {
  const queue = new AdmissionQueue(1, 3);
  const three = queue.enter(5, 3);
  expect(() => queue.enter(5, 2)).toThrow("All 1 slots are taken");
  expect(queue.waiting).toBe(3);
  for (const place of three) place.leave();
  expect(queue.enter(5, 4)).toHaveLength(4);
  expect(() => queue.enter(5, 5)).toThrow("n: this engine's queue has room for 4 such answers in all.");
});

test("jobs leave a quarter of the line to people", () => {
  const queue = new AdmissionQueue(2, 8);
  queue.enter(5, 8);
  expect(() => queue.enter(9)).toThrow("All 2 slots are taken");
  expect(queue.enter(INTERACTIVE, 2)).toHaveLength(2);
  expect(() => queue.enter(INTERACTIVE)).toThrow("All 2 slots are taken");
});

test("who waits in person goes before jobs, and what is warm before what is cold", async () => {
  const queue = new AdmissionQueue(1, 10);
  const order: string[] = [];
  const wait = (name: string, rank: number, warm = 0) => {
    const place = enter(queue, rank);
    void place
      .turn(never, () => warm)
      .then(() => {
        order.push(name);
        setImmediate(place.leave);
      });
  };
  const first = enter(queue);
  await first.turn(never);
  wait("job 5", 5);
  wait("job 9, cold", 9);
  wait("job 9, warm", 9, 300);
  wait("person", INTERACTIVE);
  expect(queue.list().map(({ rank }) => rank)).toEqual([5, 9, 9, INTERACTIVE]);
  first.leave();
  while (queue.busy > 0) await settled();
  expect(order).toEqual(["person", "job 9, warm", "job 9, cold", "job 5"]);
});

test.each([
  [0, 8, 1_000, 1],
  [64, 8, 1_000, 4],
  [64, 8, 10_000, 40],
  [640, 1, 10_000, 60],
])("%i waiting for %i slots of %i ms: come back after %i s", (waiting, slots, meanMs, seconds) => {
  expect(retryAfterSeconds(waiting, slots, meanMs)).toBe(seconds);
});
