import { expect, test } from "vitest";
import { attributesOf, groupOf } from "../../worker/deliver/deliver.ts";
import { createSqs, isQueueUrl } from "../../worker/deliver/sqs.ts";
import type { Destinations } from "../../worker/outbound/destinations.ts";
import { known } from "../fakes/known.ts";
import { FakeQueue } from "../fakes/queue.ts";
import { delivery, errorOf } from "./deliveries.ts";

const URL = "https://sqs.us-east-1.amazonaws.com/000000000000/results";

function sending(queue: FakeQueue, { url = URL, destinations = [] as Destinations } = {}) {
  return createSqs({ queueFor: () => queue, destinations, endpoint: undefined })(delivery({ sqs: url }), url);
}

test("the result is the body", async () => {
  const queue = new FakeQueue("fake:results");
  await sending(queue);
  expect(queue.messages.map(({ body }) => JSON.parse(body))).toEqual([delivery({ sqs: URL }).result]);
});

test("a FIFO queue gets the kind as the group, and a second try adds no message", async () => {
  const queue = new FakeQueue("fake:results", { fifo: true });
  await sending(queue, { url: `${URL}.fifo` });
  await sending(queue, { url: `${URL}.fifo` });
  expect(queue.messages.map(({ group }) => group)).toEqual(["image.check"]);
});

test.for(["bad kind", "種類", "\u001b[2J", "\ud800", "x".repeat(129)])(
  "the group of a kind that is no valid group is its hash: %j",
  (kind) => {
    expect(groupOf(kind)).toMatch(/^[0-9a-f]{16}$/);
    expect(attributesOf({ ...delivery({ sqs: URL }).result, kind }).kind).not.toMatch(/\p{C}/u);
  },
);

test.each([
  ["network", "delivery_failed"],
  ["credentials", "delivery_failed"],
  ["throttled", "delivery_failed"],
  ["missing_queue", "delivery_rejected"],
] as const)("a queue that cannot be reached (%s) is %s", async (health, code) => {
  const error = await errorOf(sending(new FakeQueue("fake:results").next("send", { is: "fail", health })));
  expect(error).toMatchObject({ code, detail: { awsFailure: health } });
});

const LOCAL = "http://127.0.0.1:4566";
test.each([
  [URL, undefined, true],
  ["https://sqs.cn-north-1.amazonaws.com.cn/1/q", undefined, true],
  ["https://sqs-fips.us-gov-west-1.amazonaws.com/1/q", undefined, true],
  ["https://vpce-1-2.sqs.us-east-1.vpce.amazonaws.com/1/q", undefined, true],
  ["https://eu-west-1.queue.amazonaws.com/1/q", undefined, true],
  [`${LOCAL}/000000000000/q`, LOCAL, true],
  [`${LOCAL}/000000000000/q`, undefined, false],
  ["http://127.0.0.1:4567/000000000000/q", LOCAL, false],
  ["http://sqs.us-east-1.amazonaws.com/1/q", undefined, false],
  ["https://sqs.us-east-1.amazonaws.com.evil.com/1/q", undefined, false],
  ["https://evil.com/sqs.us-east-1.amazonaws.com", undefined, false],
  ["https://evilsqs.us-east-1.amazonaws.com/1/q", undefined, false],
  ["https://sqs.us-east-1.elb.amazonaws.com/", undefined, false],
  ["http://169.254.169.254/latest", undefined, false],
])("%s with the endpoint %s is a queue's address: %s", (url, endpoint, expected) => {
  expect(isQueueUrl(url, endpoint)).toBe(expected);
});

test("no request is signed for a host that a job made up, unless the destinations file lists it", async () => {
  const queue = new FakeQueue("fake:results");
  const url = "https://queue.home/1/results";
  expect((await errorOf(sending(queue, { url }))).code).toBe("address_refused");
  expect(queue.calls.send).toBe(0);
  await sending(queue, { url, destinations: [known("https://queue.home/")] });
  expect(queue.calls.send).toBe(1);
});
