import { describe, expect, test } from "vitest";
import { Line, retryAfterSeconds } from "../../worker/engine/line.ts";

const never = new AbortController().signal;
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("the line", () => {
  test("lets in as many as there are slots, then one for each that leaves, in order", async () => {
    const line = new Line(2, 10);
    const order: number[] = [];
    const places = [0, 1, 2, 3].map((n) => {
      const place = line.enter();
      void place.turn(never).then(() => order.push(n));
      return place;
    });
    await settled();
    expect([order, line.busy, line.waiting]).toEqual([[0, 1], 2, 2]);
    places[1]!.leave();
    await settled();
    expect([order, line.busy, line.waiting]).toEqual([[0, 1, 2], 2, 1]);
    for (const place of [0, 2, 3, 0, 2, 3]) places[place]!.leave();
    await settled();
    expect([line.busy, line.waiting]).toEqual([0, 0]);
  });

  test("counts those who are only being prepared, and is full for the next", () => {
    const line = new Line(1, 1);
    const [first] = [line.enter(), line.enter()];
    expect(() => line.enter()).toThrow("All 1 slots are taken");
    first!.leave();
    line.enter();
  });

  test("who gives up leaves no gap", async () => {
    const line = new Line(1, 10);
    const [first, second, third] = [line.enter(), line.enter(), line.enter()];
    const bored = new AbortController();
    await first.turn(never);
    const given = second.turn(bored.signal).catch(() => second.leave());
    const turn = third.turn(never);
    bored.abort();
    await given;
    first.leave();
    await turn;
    expect([line.busy, line.waiting]).toEqual([1, 0]);
  });
});

test.each([
  [0, 8, 1_000, 1],
  [64, 8, 1_000, 4],
  [64, 8, 10_000, 40],
  [640, 1, 10_000, 60],
])("%i waiting for %i slots of %i ms: come back after %i s", (waiting, slots, meanMs, seconds) => {
  expect(retryAfterSeconds(waiting, slots, meanMs)).toBe(seconds);
});
