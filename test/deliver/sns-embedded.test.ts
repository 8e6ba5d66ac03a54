// The SNS adapter keeps the topic's promises against the embedded AWS, and a delivery arrives through all of it.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AwsClients, makeAwsClients } from "../../worker/aws/clients.ts";
import { createDeliver } from "../../worker/deliver/by-kind.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { createOutbound } from "../../worker/outbound/outbound.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { runSuite } from "../conformance/suite.ts";
import { type TopicHarness, topicCases } from "../conformance/topic.cases.ts";
import { snsHarness } from "../conformance/topic-over-aws.ts";
import { delivery } from "./deliveries.ts";

let aws: LocalAws;
let clients: AwsClients;
let harness: TopicHarness;

beforeAll(async () => {
  aws = await startLocalAws({ port: 0 });
  clients = makeAwsClients(aws);
  harness = snsHarness(clients);
});

afterAll(async () => {
  clients.destroy();
  await aws.stop();
});

runSuite("SNS on the embedded AWS", topicCases, () => harness, {});

test("a subscriber to the answer yes gets only yes; a result reaches a queue too", async () => {
  const deliver = createDeliver({
    outbound: createOutbound(),
    topic: harness.topic,
    queueFor: (url) => sqsQueue(clients.sqs, url),
    registry: new Map(),
    log: silentLog,
    awsEndpoint: aws.endpoint,
  });
  const sns = await harness.create();
  const { take } = await harness.subscribe(sns, { answer: ["y"] });
  await deliver(delivery({ sns }, { id: "no", result: { output: { answer: "n" } } }));
  await deliver(delivery({ sns }, { id: "yes" }));
  expect((await take(1)).map(({ message }) => JSON.parse(message).id)).toEqual(["yes"]);

  await deliver(delivery({ sqs: aws.resources.deadQueueUrl }, { id: "j1" }));
  const queue = sqsQueue(clients.sqs, aws.resources.deadQueueUrl);
  const [message] = await queue.receive({ max: 1, waitSeconds: 2, visibilitySeconds: 30 });
  expect(JSON.parse(message!.body)).toMatchObject({ id: "j1", output: { answer: "y" } });
});
