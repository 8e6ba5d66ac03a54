import { describe, expect, test } from "vitest";
import { AdmissionQueue, retryAfterSeconds } from "../../../worker/engine/scheduler/admission-queue.ts";
import { INTERACTIVE } from "../../../worker/engine/scheduler/queue-order.ts";

const never = new AbortController().signal;
const admit = (queue: AdmissionQueue, rank = INTERACTIVE) => queue.admit(rank)[0]!;
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("the queue", () => {
  test("gives each answer a slot while there are some, then one for each that is released, in order", async () => {
    const queue = new AdmissionQueue(2, 10);
    const order: number[] = [];
    const admissions = [0, 1, 2, 3].map((n) => {
      const admission = admit(queue);
      void admission.untilSlot(never).then(() => order.push(n));
      return admission;
    });
    await settled();
    expect([order, queue.busy, queue.waiting]).toEqual([[0, 1], 2, 2]);
    admissions[1]!.release();
    await settled();
    expect([order, queue.busy, queue.waiting]).toEqual([[0, 1, 2], 2, 1]);
    for (const admission of [0, 2, 3, 0, 2, 3]) admissions[admission]!.release();
    await settled();
    expect([queue.busy, queue.waiting]).toEqual([0, 0]);
  });

  test("counts answers that are only being prepared, and refuses the next when it is full", () => {
    const queue = new AdmissionQueue(1, 1);
    const [first] = [admit(queue), admit(queue)];
    expect(() => admit(queue)).toThrow("All 1 slots are taken");
    first!.release();
    admit(queue);
  });

  test("an answer whose client gives up frees its place", async () => {
    const queue = new AdmissionQueue(1, 10);
    const [first, second, third] = [admit(queue), admit(queue), admit(queue)];
    const client = new AbortController();
    await first.untilSlot(never);
    const gaveUp = second.untilSlot(client.signal).catch(() => second.release());
    const thirdSlot = third.untilSlot(never);
    client.abort();
    await gaveUp;
    first.release();
    await thirdSlot;
    expect([queue.busy, queue.waiting]).toEqual([1, 0]);
  });
});

test("several answers are admitted together or not at all", () => {
  const queue = new AdmissionQueue(1, 3);
  const three = queue.admit(5, 3);
  expect(() => queue.admit(5, 2)).toThrow("All 1 slots are taken");
  expect(queue.waiting).toBe(3);
  for (const admission of three) admission.release();
  expect(queue.admit(5, 4)).toHaveLength(4);
  expect(() => queue.admit(5, 5)).toThrow("n: this engine's queue has room for 4 such answers in all.");
});

test("jobs leave a quarter of the queue to interactive requests", () => {
  const queue = new AdmissionQueue(2, 8);
  queue.admit(5, 8);
  expect(() => queue.admit(9)).toThrow("All 2 slots are taken");
  expect(queue.admit(INTERACTIVE, 2)).toHaveLength(2);
  expect(() => queue.admit(INTERACTIVE)).toThrow("All 2 slots are taken");
});

test("interactive requests go before jobs, and warm prompts before cold ones", async () => {
  const queue = new AdmissionQueue(1, 10);
  const order: string[] = [];
  const wait = (name: string, rank: number, warm = 0) => {
    const admission = admit(queue, rank);
    void admission
      .untilSlot(never, () => warm)
      .then(() => {
        order.push(name);
        setImmediate(admission.release);
      });
  };
  const first = admit(queue);
  await first.untilSlot(never);
  wait("job 5", 5);
  wait("job 9, cold", 9);
  wait("job 9, warm", 9, 300);
  wait("interactive", INTERACTIVE);
  expect(queue.list().map(({ rank }) => rank)).toEqual([5, 9, 9, INTERACTIVE]);
  first.release();
  while (queue.busy > 0) await settled();
  expect(order).toEqual(["interactive", "job 9, warm", "job 9, cold", "job 5"]);
});

test.each([
  [0, 8, 1_000, 1],
  [64, 8, 1_000, 4],
  [64, 8, 10_000, 40],
  [640, 1, 10_000, 60],
])("%i waiting for %i slots of %i ms: come back after %i s", (waiting, slots, meanMs, seconds) => {
  expect(retryAfterSeconds(waiting, slots, meanMs)).toBe(seconds);
});
