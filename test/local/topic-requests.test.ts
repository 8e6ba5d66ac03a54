// Requests about topics of all SDKs: what is published arrives as SNS would deliver it, or its publisher gets an error.
import { PublishBatchCommand, PublishCommand, SubscribeCommand } from "@aws-sdk/client-sns";
import { ReceiveMessageCommand, SendMessageBatchCommand } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AwsClients, makeAwsClients } from "../../worker/aws/clients.ts";
import { queueArn } from "../../worker/aws/resources.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";

let aws: LocalAws;
let clients: AwsClients;
const topic = () => ({ TopicArn: aws.resources.topicArn });
beforeAll(async () => {
  aws = await startLocalAws({ port: 0 });
  clients = makeAwsClients(aws);
  await subscribe(queueArn("kamado-jobs"), { RawMessageDelivery: "true" });
});
afterAll(async () => {
  clients.destroy();
  await aws.stop();
});

const subscribe = (Endpoint: string, Attributes: Record<string, string> = {}) =>
  clients.sns.send(new SubscribeCommand({ ...topic(), Protocol: "sqs", Endpoint, Attributes }));

async function arrived() {
  const command = new ReceiveMessageCommand({
    QueueUrl: aws.resources.jobsQueueUrl,
    MaxNumberOfMessages: 10,
    WaitTimeSeconds: 0,
  });
  return ((await clients.sqs.send(command)).Messages ?? []).map(({ Body }) => Body);
}

const BY_PROTOCOL = { MessageStructure: "json", Message: '{"default":"for all","sqs":"for queues"}' };

test("a message that differs by protocol arrives as the one for queues, or the one for all", async () => {
  await clients.sns.send(new PublishCommand({ ...topic(), ...BY_PROTOCOL }));
  await clients.sns.send(
    new PublishCommand({ TargetArn: topic().TopicArn, ...BY_PROTOCOL, Message: '{"default":"for all"}' }),
  );
  const PublishBatchRequestEntries = [
    { Id: "a", ...BY_PROTOCOL },
    { Id: "b", Message: '{"default":"as it is"}' },
  ];
  await clients.sns.send(new PublishBatchCommand({ ...topic(), PublishBatchRequestEntries }));
  expect(await arrived()).toEqual(["for queues", "for all", "for queues", '{"default":"as it is"}']);
});

describe("what would not arrive is refused", () => {
  test.each(['{"sqs":"for queues"}', "no JSON", '{"default":{}}', "null"])(
    "by protocol, without a message for all: %s",
    async (Message) => {
      await expect(
        clients.sns.send(new PublishCommand({ ...topic(), ...BY_PROTOCOL, Message })),
      ).rejects.toMatchObject({ name: "InvalidParameterException" });
    },
  );

  test("an entry of a batch without a message", async () => {
    const PublishBatchRequestEntries = [
      { Id: "a", Message: "m" },
      { Id: "b", Message: "" },
    ];
    await expect(
      clients.sns.send(new PublishBatchCommand({ ...topic(), PublishBatchRequestEntries })),
    ).rejects.toMatchObject({ name: "InvalidParameterException" });
    expect(await arrived()).toEqual([]);
  });

  test("an entry of a batch for a queue without a body", async () => {
    const Entries = [{ Id: "a", MessageBody: undefined }];
    await expect(
      clients.sqs.send(new SendMessageBatchCommand({ QueueUrl: aws.resources.jobsQueueUrl, Entries })),
    ).rejects.toMatchObject({ $metadata: { httpStatusCode: 400 } });
  });

  test.each([
    "arn:aws:sqs:us-east-1:000000000000:nobody",
    "http://127.0.0.1/000000000000/kamado-jobs",
    queueArn("kamado-jobs").replace(/sqs:[^:]+/, "sqs:eu-west-1"),
  ])("a subscription of %s, which is no queue", async (endpoint) => {
    await expect(subscribe(endpoint)).rejects.toMatchObject({
      name: "InvalidParameterException",
      message: expect.stringContaining(queueArn("kamado-jobs")),
    });
  });

  test.for([
    ["FilterPolicy", "no JSON"],
    ["Bogus", "1"],
  ] as const)("a subscription with %s: %s", async ([name, value]) => {
    await expect(subscribe(queueArn("kamado-deliveries"), { [name]: value })).rejects.toMatchObject({
      $metadata: { httpStatusCode: 400 },
    });
  });
});
