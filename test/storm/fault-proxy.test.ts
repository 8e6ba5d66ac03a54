// The proxy injects the planned faults, and the SDK recognizes them.
import { GetObjectCommand } from "@aws-sdk/client-s3";
import { PublishCommand } from "@aws-sdk/client-sns";
import { ListQueuesCommand } from "@aws-sdk/client-sqs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type FaultProxy, startFaultProxy } from "../../storm/fault-proxy.ts";
import type { RequestFault } from "../../storm/plan.ts";
import { type AwsClients, makeAwsClients } from "../../worker/aws/clients.ts";
import { healthOf } from "../../worker/aws/errors.ts";
import { type Receiver, startReceiver } from "../fakes/receiver.ts";

let target: Receiver;
let proxy: FaultProxy;
/** The faults of the next requests, in order; after them none. */
let faults: RequestFault[];
beforeEach(async () => {
  faults = [];
  target = await startReceiver((_, response) => void response.end(`answer ${target.received.length}`));
  proxy = await startFaultProxy(target.url, () => faults.shift() ?? { is: "none" });
});
afterEach(async () => {
  await proxy.stop();
  await target.close();
});
const ask = async () => (await fetch(`${proxy.url}/path?q=1`, { method: "POST", body: "words" })).text();

test("without a fault, request and answer arrive unchanged", async () => {
  expect(await ask()).toBe("answer 1");
  expect(target.received).toMatchObject([{ method: "POST", path: "/path?q=1", body: "words" }]);
});

test.each<[string, RequestFault, number]>([
  ["a request that is lost never arrives", { is: "lose-request" }, 0],
  ["an answer that is lost belongs to a request that arrived", { is: "lose-answer" }, 1],
])("%s", async (_, fault, arrived) => {
  faults = [fault];
  await expect(ask()).rejects.toThrow();
  expect(target.received).toHaveLength(arrived);
  expect(await ask()).toBe(`answer ${arrived + 1}`);
});

test("a repeated request arrives twice, and the second answer is returned", async () => {
  faults = [{ is: "twice" }];
  expect(await ask()).toBe("answer 2");
  expect(target.received.map(({ body }) => body)).toEqual(["words", "words"]);
});

test("a delayed request arrives", async () => {
  faults = [{ is: "delay", ms: 30 }];
  expect(await ask()).toBe("answer 1");
});

test("during an outage no request passes; afterwards every one does", async () => {
  proxy.block("refuse");
  await expect(ask()).rejects.toThrow();
  proxy.block("swallow");
  const patience = new AbortController();
  const swallowed = fetch(proxy.url, { signal: patience.signal });
  await expect.poll(() => proxy.counts.swallow).toBe(1);
  patience.abort();
  await expect(swallowed).rejects.toThrow();
  proxy.block(null);
  expect(await ask()).toBe("answer 1");
  expect(proxy.counts).toEqual({ refuse: 1, swallow: 1, none: 1 });
});

describe("the SDK recognizes an injected error", () => {
  let clients: AwsClients;
  beforeEach(() => {
    const credentials = { accessKeyId: "any", secretAccessKey: "thing" };
    clients = makeAwsClients({ endpoint: proxy.url, region: "us-east-1", credentials });
  });
  afterEach(() => clients.destroy());
  const calls = {
    sqs: () => clients.sqs.send(new ListQueuesCommand({})),
    s3: () => clients.s3.send(new GetObjectCommand({ Bucket: "bucket", Key: "key" })),
    sns: () => clients.sns.send(new PublishCommand({ TopicArn: "arn:aws:sns:us-east-1:0:t", Message: "m" })),
  };
  test.each([
    ["sqs", "throttled", "RequestThrottled"],
    ["sqs", "internal", "InternalFailure"],
    ["sqs", "unavailable", "ServiceUnavailable"],
    ["s3", "throttled", "SlowDown"],
    ["s3", "internal", "InternalError"],
    ["sns", "throttled", "Throttling"],
    ["sns", "unavailable", "ServiceUnavailable"],
  ] as const)("%s: %s", async (service, how, name) => {
    faults = Array.from({ length: 3 }, () => ({ is: "error", how }));
    const thrown = await calls[service]().catch((error) => error);
    expect(thrown).toMatchObject({ name });
    expect(healthOf(thrown)).toBe(how === "throttled" ? "throttled" : "unknown");
    // The request was not forwarded.
    expect(target.received).toEqual([]);
  });
});
