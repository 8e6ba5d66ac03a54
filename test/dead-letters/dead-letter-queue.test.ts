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
