import { createHash } from "node:crypto";
import { expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { sqsDeadLetterQueue } from "../../worker/dead-letters/dead-letter-queue.ts";
import { sqsServer } from "../fakes/aws-server.ts";

test("a dead letter has its own id, its attributes, and the queue that SQS itself moved it from", async () => {
  const movedFrom = "arn:aws:sqs:us-east-1:000000000000:jobs";
  const message = {
    MessageId: "id",
    ReceiptHandle: "r",
    Body: "{}",
    MD5OfBody: "99914b932bd37a50b983c5e7c90ae93b",
    MessageAttributes: { "kamado-message": { DataType: "String", StringValue: "original" } },
    Attributes: { DeadLetterQueueSourceArn: movedFrom },
  };
  await using server = await sqsServer(() => [200, { Messages: [message] }]);
  const credentials = { accessKeyId: "a", secretAccessKey: "b" };
  const clients = makeAwsClients({ endpoint: server.endpoint, region: "us-east-1", credentials });
  onTestFinished(() => clients.destroy());
  const queue = sqsDeadLetterQueue(clients.sqs, `${server.endpoint}/000000000000/q-dead`);
  const [dead] = await queue.receiveDead({ visibilitySeconds: 30 });
  expect(dead).toMatchObject({ id: "id", movedFrom, attributes: { "kamado-message": "original" } });
});

test("a CloudEvent in binary mode that the queue itself moved keeps its attributes in its body, so that it can be sent back", async () => {
  const body = '{"prompt":"milk"}';
  const attributes = { specversion: "1.0", id: "1", source: "/a", type: "prompt" };
  const message = {
    MessageId: "id",
    ReceiptHandle: "r",
    Body: body,
    MD5OfBody: createHash("md5").update(body).digest("hex"),
    MessageAttributes: Object.fromEntries(
      Object.entries(attributes).map(([name, StringValue]) => [
        `ce_${name}`,
        { DataType: "String", StringValue },
      ]),
    ),
  };
  await using server = await sqsServer(() => [200, { Messages: [message] }]);
  const clients = makeAwsClients({
    endpoint: server.endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "a", secretAccessKey: "b" },
  });
  onTestFinished(() => clients.destroy());
  const [dead] = await sqsDeadLetterQueue(clients.sqs, `${server.endpoint}/0/dead`).receiveDead({
    visibilitySeconds: 30,
  });
  expect(JSON.parse(dead!.body)).toEqual({ ...attributes, data: { prompt: "milk" } });
});
