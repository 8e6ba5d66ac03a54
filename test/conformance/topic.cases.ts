// What every topic promises deliveries. One suite for the fake, the embedded AWS and any other.
import { expect } from "vitest";
import type { Topic } from "../../worker/deliver/sns.ts";
import type { Filter, Published } from "../fakes/topic.ts";
import type { Promises } from "./suite.ts";

export type TopicHarness = {
  topic: Topic;
  /** A new topic's ARN. */
  create(options?: { fifo?: boolean }): Promise<string>;
  /** Subscribes. `take` waits for the next `count` messages that pass the filter, and gives those that arrived in time. */
  subscribe(arn: string, filter?: Filter): Promise<{ take(count: number): Promise<Published[]> }>;
};

export const topicCases = {
  async "a message arrives as it was published, with its attributes"({ topic, create, subscribe }) {
    const arn = await create();
    const { take } = await subscribe(arn);
    const message = JSON.stringify({ text: '牛乳 🥛 <input> "quotes"\n' });
    await topic.publish(arn, message, { kind: "image.check", status: "succeeded", answer: "はい" });
    expect(await take(1)).toEqual([
      { message, attributes: { kind: "image.check", status: "succeeded", answer: "はい" } },
    ]);
  },

  async "every subscriber gets a message"({ topic, create, subscribe }) {
    const arn = await create();
    const [one, two] = [await subscribe(arn), await subscribe(arn)];
    await topic.publish(arn, "x", { kind: "k" });
    expect([(await one.take(1)).length, (await two.take(1)).length]).toEqual([1, 1]);
  },

  async "a subscriber that filters on the answer gets only such messages"({ topic, create, subscribe }) {
    const arn = await create();
    const { take } = await subscribe(arn, { answer: ["y"], kind: ["image.check"] });
    for (const [message, attributes] of [
      ["no", { kind: "image.check", answer: "n" }],
      ["other", { kind: "prompt", answer: "y" }],
      ["none", { kind: "image.check" }],
      ["yes", { kind: "image.check", answer: "y" }],
    ] as const)
      await topic.publish(arn, message, attributes);
    expect((await take(1)).map(({ message }) => message)).toEqual(["yes"]);
  },

  async "a topic that does not exist refuses a message for good"({ topic, create }) {
    const arn = await create();
    await expect(topic.publish(`${arn}-missing`, "x", {})).rejects.toMatchObject({
      code: "delivery_rejected",
    });
  },

  async "a message of 256 KiB is published, one byte more is refused; bytes count, and attributes too"({
    topic,
    create,
    subscribe,
  }) {
    const arn = await create();
    const { take } = await subscribe(arn);
    const full = "x".repeat(256 * 1024);
    await topic.publish(arn, full, {});
    expect((await take(1))[0]!.message.length).toBe(full.length);
    const refused = { code: "delivery_rejected" };
    await expect(topic.publish(arn, `${full}x`, {})).rejects.toMatchObject(refused);
    await expect(topic.publish(arn, full, { kind: "k" })).rejects.toMatchObject(refused);
    await expect(topic.publish(arn, "犬".repeat(100_000), {})).rejects.toMatchObject(refused);
  },

  async "a FIFO topic keeps the order and drops a message that is sent again"({ topic, create, subscribe }) {
    const arn = await create({ fifo: true });
    const { take } = await subscribe(arn);
    for (const message of ["a", "a", "b"])
      await topic.publish(arn, message, {}, { group: "g", deduplicationId: `id-${message}` });
    expect((await take(2)).map(({ message }) => message)).toEqual(["a", "b"]);
  },
} satisfies Promises<TopicHarness>;
