import { expect, test } from "vitest";
import { createDeliver } from "../../worker/deliver/by-kind.ts";
import { labelOf, nameOf } from "../../worker/deliver/deliver.ts";
import { silentLog } from "../../worker/log.ts";
import { createOutbound } from "../../worker/outbound/outbound.ts";
import { known } from "../fakes/known.ts";
import { FakeQueue } from "../fakes/queue.ts";
import { startReceiver } from "../fakes/receiver.ts";
import { FakeTopic } from "../fakes/topic.ts";
import { delivery, errorOf } from "./deliveries.ts";

const ARN = "arn:aws:sns:us-east-1:000000000000:t";
const QUEUE = "https://sqs.us-east-1.amazonaws.com/000000000000/q";

test("each kind of destination gets the result its own way", async () => {
  await using receiver = await startReceiver();
  const destinations = [known(receiver.url)];
  const outbound = createOutbound({ destinations });
  const [topic, queue] = [new FakeTopic(), new FakeQueue(QUEUE)];
  topic.create(ARN);
  const published = topic.subscribe(ARN);
  const deliver = createDeliver({
    outbound,
    topic,
    queueFor: () => queue,
    registry: new Map(),
    log: silentLog,
    destinations,
  });
  await Promise.all([
    deliver(delivery({ callback: `${receiver.url}/hook` })),
    deliver(delivery({ sns: ARN })),
    deliver(delivery({ sqs: QUEUE })),
  ]);
  expect([receiver.received.length, published.length, queue.messages.length]).toEqual([1, 1, 1]);
  expect((await errorOf(deliver(delivery({ rest: receiver.url })))).code).toBe("unknown_kind");
  await outbound.close();
});

test("a destination's label for the log leaves out what may be a token; its name does not", () => {
  const to = { callback: "https://hooks.example/services/t0k3n?sig=t0k3n" };
  expect(labelOf(to)).toBe("callback:https://hooks.example");
  expect(labelOf({ sns: ARN })).toBe(`sns:${ARN}`);
  expect(nameOf(to)).toBe(`callback:${to.callback}`);
});
