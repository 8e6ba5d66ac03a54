import { expect, test } from "vitest";
import { attributesOf, groupOf } from "../../worker/deliver/deliver.ts";
import { createSqs, isQueueUrl, isSameQueue } from "../../worker/deliver/sqs.ts";
import type { Destinations } from "../../worker/outbound/destinations.ts";
import { known } from "../fakes/known.ts";
import { FakeQueue } from "../fakes/queue.ts";
import { delivery, errorOf } from "./deliveries.ts";

const URL = "https://sqs.us-east-1.amazonaws.com/000000000000/results";

function sending(queue: FakeQueue, { url = URL, destinations = [] as Destinations } = {}) {
  return createSqs({ queueFor: () => queue, destinations, endpoint: undefined, ownQueues: [] })(
    delivery({ sqs: url }),
    url,
  );
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
const PATH = "000000000000/q";
test.each([
  [URL, undefined, true],
  [`${URL}.fifo`, undefined, true],
  [`https://SQS.US-EAST-1.amazonaws.com:443/${PATH}`, undefined, true],
  [`https://sqs.cn-north-1.amazonaws.com.cn/${PATH}`, undefined, true],
  [`https://sqs-fips.us-gov-west-1.amazonaws.com/${PATH}`, undefined, true],
  [`https://vpce-0a1b-2c3d.sqs.us-east-1.vpce.amazonaws.com/${PATH}`, undefined, true],
  [`https://vpce-0a1b-2c3d-us-east-1a.sqs.us-east-1.vpce.amazonaws.com/${PATH}`, undefined, true],
  [`https://eu-west-1.queue.amazonaws.com/${PATH}`, undefined, true],
  [`https://queue.amazonaws.com/${PATH}`, undefined, true],
  [`${LOCAL}/${PATH}`, LOCAL, true],
  [`${LOCAL}/queue/q`, LOCAL, true],
  [`${LOCAL}/${PATH}`, undefined, false],
  [`http://127.0.0.1:4567/${PATH}`, LOCAL, false],
  [`http://sqs.us-east-1.amazonaws.com/${PATH}`, undefined, false],
  [`https://sqs.us-east-1.amazonaws.com:8443/${PATH}`, undefined, false],
  [`https://sqs.us-east-1.amazonaws.com.evil.com/${PATH}`, undefined, false],
  [`https://sqs.us-east-1.amazonaws.com./${PATH}`, undefined, false],
  ["https://evil.com/sqs.us-east-1.amazonaws.com", undefined, false],
  [`https://evilsqs.us-east-1.amazonaws.com/${PATH}`, undefined, false],
  // Credentials, which the SDK would send along.
  [`https://me:secret@sqs.us-east-1.amazonaws.com/${PATH}`, undefined, false],
  [`https://sqs.us-east-1.amazonaws.com@evil.com/${PATH}`, undefined, false],
  [`http://me@127.0.0.1:4566/${PATH}`, LOCAL, false],
  // Buckets, load balancers and other hosts that anybody may have.
  [`https://sqs.s3.amazonaws.com/${PATH}`, undefined, false],
  [`https://a.sqs.s3.amazonaws.com/${PATH}`, undefined, false],
  [`https://sqs.s3-us-west-2.amazonaws.com/${PATH}`, undefined, false],
  [`https://sqs.s3.us-east-1.amazonaws.com/${PATH}`, undefined, false],
  [`https://queue.s3.amazonaws.com/${PATH}`, undefined, false],
  [`https://sqs.us-east-1.elb.amazonaws.com/${PATH}`, undefined, false],
  [`https://a.sqs.elb.amazonaws.com/${PATH}`, undefined, false],
  [`https://evil.sqs.us-east-1.amazonaws.com/${PATH}`, undefined, false],
  [`https://evil.queue.amazonaws.com/${PATH}`, undefined, false],
  [`https://evil.sqs.us-east-1.vpce.amazonaws.com/${PATH}`, undefined, false],
  [`https://vpce-1.execute-api.us-east-1.vpce.amazonaws.com/${PATH}`, undefined, false],
  // Paths that are no queue's.
  ["https://sqs.us-east-1.amazonaws.com/", undefined, false],
  ["https://sqs.us-east-1.amazonaws.com/1/q", undefined, false],
  [`https://sqs.us-east-1.amazonaws.com/${PATH}/`, undefined, false],
  [`https://sqs.us-east-1.amazonaws.com/${PATH}?x=1`, undefined, false],
  [`https://sqs.us-east-1.amazonaws.com/${PATH}#x`, undefined, false],
  ["https://sqs.us-east-1.amazonaws.com/000000000000/%71", undefined, false],
  [`${LOCAL}/000000000000/%6bamado-jobs`, LOCAL, false],
  [`${LOCAL}/000000000000\\kamado-jobs`, LOCAL, false],
  [`${LOCAL}/000000000000/kamado\t-jobs`, LOCAL, false],
  ["http://169.254.169.254/latest", undefined, false],
])("%s with the endpoint %s is a queue's address: %s", (url, endpoint, expected) => {
  expect(isQueueUrl(url, endpoint)).toBe(expected);
});

const OWN = "https://sqs.us-east-1.amazonaws.com/123456789012/kamado-jobs";
const LOCAL_OWN = `${LOCAL}/000000000000/kamado-jobs`;
test.each([
  [OWN, OWN, undefined, true],
  [OWN, "https://SQS.us-east-1.amazonaws.com:443/123456789012/kamado-jobs", undefined, true],
  [OWN, "https://sqs.us-east-1.amazonaws.com/123456789012/Kamado-Jobs", undefined, true],
  [OWN, "https://sqs.us-east-1.amazonaws.com//123456789012/kamado-jobs/", undefined, true],
  [OWN, "https://sqs.us-east-1.amazonaws.com/x/../123456789012/kamado-jobs", undefined, true],
  [OWN, "https://us-east-1.queue.amazonaws.com/123456789012/kamado-jobs", undefined, true],
  [OWN, "https://queue.amazonaws.com/123456789012/kamado-jobs", undefined, true],
  [OWN, "https://sqs-fips.us-east-1.amazonaws.com/123456789012/kamado-jobs", undefined, true],
  [OWN, "https://vpce-0a-1b.sqs.us-east-1.vpce.amazonaws.com/123456789012/kamado-jobs", undefined, true],
  ["https://queue.amazonaws.com/123456789012/kamado-jobs", OWN, undefined, true],
  // A proxy of the owner's that the destinations file lists.
  [OWN, "https://queue.home/1/kamado-jobs", undefined, true],
  [OWN, "https://sqs.eu-west-1.amazonaws.com/123456789012/kamado-jobs", undefined, false],
  [OWN, "https://sqs.us-east-1.amazonaws.com/210987654321/kamado-jobs", undefined, false],
  [OWN, "https://sqs.us-east-1.amazonaws.com/123456789012/kamado-jobs-2", undefined, false],
  [OWN, "https://sqs.us-east-1.amazonaws.com/123456789012/kamado-jobs.fifo", undefined, false],
  // An emulator gets every call, whatever host and account the address names.
  [LOCAL_OWN, LOCAL_OWN, LOCAL, true],
  [LOCAL_OWN, "http://127.0.0.1:4566/kamado-jobs", LOCAL, true],
  [LOCAL_OWN, "http://127.0.0.1:4566/queue/us-east-1/000000000000/kamado-jobs/", LOCAL, true],
  [LOCAL_OWN, "http://127.0.0.1:4566/111111111111/KAMADO-JOBS", LOCAL, true],
  [LOCAL_OWN, OWN, LOCAL, true],
  [LOCAL_OWN, `${LOCAL}/000000000000/results`, LOCAL, false],
])("%s and %s with the endpoint %s are one queue: %s", (one, other, endpoint, expected) => {
  expect(isSameQueue(one, other, endpoint)).toBe(expected);
});

test.each(["kamado-jobs", "urgent", "kamado-deliveries", "kamado-jobs-dead", "kamado-deliveries-dead"])(
  "no job delivers into %s, a queue of the worker itself, even if the destinations file lists it",
  async (name) => {
    const queue = new FakeQueue("fake:own");
    const own = ["kamado-jobs", "urgent", "kamado-deliveries", "kamado-jobs-dead", "kamado-deliveries-dead"];
    const deliver = createSqs({
      queueFor: () => queue,
      destinations: [known("https://sqs.us-east-1.amazonaws.com/")],
      endpoint: undefined,
      ownQueues: own.map((one) => `https://sqs.us-east-1.amazonaws.com/123456789012/${one}`),
    });
    const url = `https://us-east-1.queue.amazonaws.com/123456789012/${name}`;
    const error = await errorOf(deliver(delivery({ sqs: url }), url));
    expect([error.code, queue.calls.send]).toEqual(["address_refused", 0]);
    expect(error.message).toContain("queue of this worker");
  },
);

test("no request is signed for a host that a job made up, unless the destinations file lists it", async () => {
  const queue = new FakeQueue("fake:results");
  const url = "https://queue.home/1/results";
  expect((await errorOf(sending(queue, { url }))).code).toBe("address_refused");
  expect(queue.calls.send).toBe(0);
  await sending(queue, { url, destinations: [known("https://queue.home/")] });
  expect(queue.calls.send).toBe(1);
});
