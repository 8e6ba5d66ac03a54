// Several queues on one worker: each gets its part of the slots while all have work, and all of them when it alone has.
import { expect, test } from "vitest";
import { loadConfig } from "../../worker/config/config.ts";
import { ConsumerGroup } from "../../worker/consumer/consumer-group.ts";
import { WeightedSlots } from "../../worker/consumer/weighted-slots.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { FakeClock } from "../fakes/clock.ts";
import { FakeQueue } from "../fakes/queue.ts";

/** Queues with so many jobs each, whose starts are counted one slot at a time. */
function starts(weights: readonly number[], backlog: readonly number[], count: number): string {
  const slots = new WeightedSlots({ slots: 1, prefetch: 1 });
  const left = [...backlog];
  let order = "";
  const shares = weights.map((weight, index) =>
    slots.share(weight, {
      start: () => {
        if (left[index]! <= 0) return false;
        left[index]! -= 1;
        order += "abc"[index]!;
        return true;
      },
      onRoom: () => {},
    }),
  );
  slots.fill();
  while (order.length < count) {
    shares.find(({ running }) => running > 0)!.ended();
    slots.fill();
  }
  return order;
}
const countOf = (text: string, letter: string) => text.split(letter).length - 1;

test.each([
  ["equal ones take turns", [1, 1], [9, 9], 6, "ababab"],
  ["one that is alone has everything", [9, 1], [0, 5], 5, "bbbbb"],
  ["what is left of one is the other's", [9, 1], [1, 4], 5, "abbbb"],
])("%s", (_, weights, backlog, count, order) => expect(starts(weights, backlog, count)).toBe(order));

test("of ten starts a queue of weight 9 has nine and one of weight 1 has one: none starves", () => {
  const order = starts([9, 1], [1_000, 1_000], 500);
  expect(countOf(order, "b")).toBe(50);
  expect(Math.max(...order.split("b").map((run) => run.length))).toBeLessThanOrEqual(10);
});

test("a queue that was empty for long claims nothing for the past", () => {
  const slots = new WeightedSlots({ slots: 1, prefetch: 0 });
  let later = 0;
  let order = "";
  const sharer = (letter: string, has: () => boolean) => ({
    start: () => {
      if (has()) order += letter;
      return has();
    },
    onRoom: () => {},
  });
  const a = slots.share(
    1,
    sharer("a", () => true),
  );
  const b = slots.share(
    1,
    sharer("b", () => later > 0),
  );
  for (let i = 0; i < 100; i++) {
    if (i === 90) later = 1;
    slots.fill();
    (a.running > 0 ? a : b).ended();
  }
  expect(countOf(order.slice(90), "a")).toBe(5);
});

test("a worker with two queues keeps its slots busy with either, and never runs more than it has", async () => {
  const clock = new FakeClock();
  const running = new Set<string>();
  const started: string[] = [];
  let most = 0;
  const sources = [9, 1].map((weight, index) => {
    const queue = new FakeQueue(`q${index}`, { clock });
    const work: ConstructorParameters<typeof ConsumerGroup>[0][number]["work"] = async (lease) => {
      running.add(lease.message.handle);
      started.push(queue.url);
      most = Math.max(most, running.size);
      await clock.sleep(100);
      running.delete(lease.message.handle);
      return "delete";
    };
    return { queue, weight, work };
  });
  const consumers = new ConsumerGroup(sources, {
    concurrency: { slots: 4, prefetch: 4 },
    visibilitySeconds: 30,
    pollSeconds: 5,
    clock,
    log: silentLog,
  });
  for (let i = 0; i < 100; i++) for (const { queue } of sources) await queue.send(`${i}`);
  consumers.start();
  await clock.advance(1_500);
  expect(consumers.running).toBe(4);
  const shared = started.slice(8);
  expect(countOf(shared.join(), "q0") / shared.length).toBeGreaterThan(0.8);
  expect(shared).toContain("q1");
  await clock.advance(6_000);
  expect(most).toBe(4);
  expect(sources.flatMap(({ queue }) => queue.messages)).toEqual([]);
  const stopped = consumers.stop(1_000);
  await clock.advance(10_000);
  await stopped;
});

test.each([
  ["one address", "https://sqs/1/jobs", [{ url: "https://sqs/1/jobs", weight: 1 }]],
  [
    "several with weights",
    "https://sqs/1/urgent=9, https://sqs/1/jobs",
    [
      { url: "https://sqs/1/urgent", weight: 9 },
      { url: "https://sqs/1/jobs", weight: 1 },
    ],
  ],
])("KAMADO_QUEUE_URL takes %s", (_, text, queues) => {
  expect(loadConfig({}, { KAMADO_QUEUE_URL: text })).toMatchObject({ queueUrl: queues[0]!.url, queues });
});

test.each(["jobs", "https://sqs/1/jobs=0", "https://sqs/1/jobs=101", "https://a/q,https://a/q=2", ","])(
  "KAMADO_QUEUE_URL refuses %s by name",
  (text) => expect(() => loadConfig({}, { KAMADO_QUEUE_URL: text })).toThrow(/KAMADO_QUEUE_URL/),
);
