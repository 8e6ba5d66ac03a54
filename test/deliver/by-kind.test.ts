import { expect, test } from "vitest";
import { createDeliver } from "../../worker/deliver/by-kind.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { createOutbound } from "../../worker/outbound/outbound.ts";
import { known } from "../fakes/known.ts";
import { FakeQueue } from "../fakes/queue.ts";
import { startReceiver, status } from "../fakes/receiver.ts";
import { FakeTopic } from "../fakes/topic.ts";
import { delivery, errorOf, FAILED } from "./deliveries.ts";

const ARN = "arn:aws:sns:us-east-1:000000000000:t";
const QUEUE = "https://sqs.us-east-1.amazonaws.com/000000000000/q";

/** All four kinds, with known receivers at these addresses. */
function wired(...urls: string[]) {
  const destinations = urls.map((url) => known(url));
  const outbound = createOutbound({ destinations });
  const [topic, queue] = [new FakeTopic(), new FakeQueue(QUEUE)];
  const queueFor = () => queue;
  const registry = new Map();
  const deliver = createDeliver({ outbound, topic, queueFor, registry, log: silentLog, destinations });
  return { deliver, outbound, topic, queue };
}

test("each kind of destination gets the result in its own way", async () => {
  await using receiver = await startReceiver();
  const { deliver, outbound, topic, queue } = wired(receiver.url);
  topic.create(ARN);
  const published = topic.subscribe(ARN);
  await Promise.all([
    deliver(delivery({ callback: `${receiver.url}/hook` })),
    deliver(delivery({ sns: ARN })),
    deliver(delivery({ sqs: QUEUE })),
  ]);
  expect([receiver.received.length, published.length, queue.messages.length]).toEqual([1, 1, 1]);
  expect((await errorOf(deliver(delivery({ rest: receiver.url })))).code).toBe("unknown_kind");
  await outbound.close();
});

test("a delivery is not sent if another worker has its job when its turn comes", async () => {
  await using receiver = await startReceiver();
  const { deliver, outbound } = wired(receiver.url);
  const to = delivery({ callback: `${receiver.url}/hook` });
  const lost = await errorOf(deliver({ ...to, isOurs: async () => false }));
  expect([lost.code, receiver.received.length]).toEqual(["lease_lost", 0]);
  await deliver({ ...to, isOurs: async () => true });
  expect(receiver.received).toHaveLength(1);
  await outbound.close();
});

test("nothing is sent to a receiver that is down except a last try; other receivers are not affected", async () => {
  await using down = await startReceiver(status(500));
  await using up = await startReceiver();
  const { deliver, outbound } = wired(down.url, up.url);
  const to = delivery({ callback: `${down.url}/hook` });
  for (let i = 0; i < 5; i++) await errorOf(deliver(to));
  expect((await errorOf(deliver(to))).detail).toMatchObject({
    heldBack: true,
    retryAfterMs: expect.any(Number),
  });
  expect(down.received).toHaveLength(5);
  await deliver(delivery({ callback: `${up.url}/hook` }));
  expect((await errorOf(deliver({ ...to, insist: true }))).detail).toMatchObject({ httpStatus: 500 });
  await outbound.close();
});

test("a last try is made although the receiver asked for a pause", async () => {
  await using receiver = await startReceiver(status(429, { "retry-after": "60" }));
  const { deliver, outbound } = wired(receiver.url);
  const to = delivery({ callback: `${receiver.url}/hook` });
  await errorOf(deliver(to));
  expect((await errorOf(deliver(to))).detail).toMatchObject({ heldBack: true });
  receiver.respond(status(200));
  await deliver({ ...to, insist: true });
  expect(receiver.received).toHaveLength(2);
  await outbound.close();
});

test("a delivery without a call is not held back by a receiver that is down, and does not count for it", async () => {
  await using down = await startReceiver(status(500));
  const { deliver, outbound } = wired(down.url);
  const to = delivery({ callback: `${down.url}/hook` });
  const nothing = delivery({ rest: down.url }, { result: FAILED });
  for (let i = 0; i < 4; i++) await errorOf(deliver(to));
  await deliver(nothing);
  await errorOf(deliver(to));
  await deliver(nothing);
  expect((await errorOf(deliver(to))).detail).toMatchObject({ heldBack: true });
  expect(down.received).toHaveLength(5);
  await outbound.close();
});

test.each([
  ["500", status(500)],
  ["429 and a long Retry-After", status(429, { "retry-after": "3600" })],
  ["410", status(410)],
])("one bad address of an origin that answers %s holds back no other address of it", async (_, answer) => {
  await using receiver = await startReceiver((request, response, raw) =>
    request.path === "/evil" ? answer(request, response, raw) : status(200)(request, response, raw),
  );
  const { deliver, outbound } = wired(receiver.url);
  for (let i = 0; i < 6; i++) await errorOf(deliver(delivery({ callback: `${receiver.url}/evil` })));
  for (let i = 0; i < 3; i++) await deliver(delivery({ callback: `${receiver.url}/good` }));
  expect(receiver.received.filter(({ path }) => path === "/good")).toHaveLength(3);
  await outbound.close();
});

test("a host that cannot be reached is held back with all its addresses", async () => {
  const receiver = await startReceiver();
  await receiver.close();
  const { deliver, outbound } = wired(receiver.url);
  for (let i = 0; i < 5; i++) await errorOf(deliver(delivery({ callback: `${receiver.url}/${i}` })));
  const error = await errorOf(deliver(delivery({ callback: `${receiver.url}/other` })));
  expect(error.detail).toMatchObject({ heldBack: true });
  await outbound.close();
});
