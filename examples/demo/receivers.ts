// The receivers of the demo's results: a webhook receiver that checks signatures with the public Standard Webhooks library, and a
// subscriber of the topic.
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { type SNSClient, SubscribeCommand } from "@aws-sdk/client-sns";
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  SetQueueAttributesCommand,
  type SQSClient,
} from "@aws-sdk/client-sqs";
import { Webhook } from "standardwebhooks";
import type { Result } from "../../worker/job/result.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";

/** Results by job id. `refused` counts requests without a valid signature. */
export type Inbox = { results: Map<string, Result>; refused: number };

export async function startWebhookReceiver(secret: string) {
  const webhook = new Webhook(secret);
  const inbox: Inbox = { results: new Map(), refused: 0 };
  const server = createServer(async (request, response) => {
    try {
      const { data } = webhook.verify(await text(request), headersOf(request)) as { data: Result };
      inbox.results.set(data.id, data);
      response.writeHead(204).end();
    } catch {
      inbox.refused++;
      response.writeHead(401).end();
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}/kamado`,
    inbox,
    stop: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

const headersOf = ({ headers }: IncomingMessage) =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) => (typeof value === "string" ? [[name, value]] : [])),
  );

/** Subscribes a new queue to the topic. `filter` is an SNS filter policy on the message attributes. */
export async function subscribe(
  clients: { sqs: SQSClient; sns: SNSClient },
  topicArn: string,
  name: string,
  filter?: object,
) {
  const { QueueUrl } = await clients.sqs.send(new CreateQueueCommand({ QueueName: name }));
  const { Attributes } = await clients.sqs.send(
    new GetQueueAttributesCommand({ QueueUrl: QueueUrl!, AttributeNames: ["QueueArn"] }),
  );
  const QueueArn = Attributes!.QueueArn!;
  const Policy = allowTopic(topicArn, QueueArn);
  await clients.sqs.send(new SetQueueAttributesCommand({ QueueUrl: QueueUrl!, Attributes: { Policy } }));
  await clients.sns.send(
    new SubscribeCommand({
      TopicArn: topicArn,
      Protocol: "sqs",
      Endpoint: QueueArn,
      Attributes: { RawMessageDelivery: "true", ...(filter && { FilterPolicy: JSON.stringify(filter) }) },
    }),
  );
  const queue = sqsQueue(clients.sqs, QueueUrl!);
  const inbox: Inbox = { results: new Map(), refused: 0 };
  let stopping = false;
  const loop = (async () => {
    while (!stopping) {
      const messages = await queue
        .receive({ max: 10, waitSeconds: 1, visibilitySeconds: 30 })
        .catch(() => []);
      for (const { body } of messages) {
        const result = JSON.parse(body) as Result;
        inbox.results.set(result.id, result);
      }
      await queue.remove(messages.map(({ handle }) => handle));
    }
  })();
  return {
    inbox,
    stop: async () => {
      stopping = true;
      await loop;
    },
  };
}

/** A topic delivers to a queue only what the queue's policy allows. */
const allowTopic = (topicArn: string, queueArn: string) =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: {
      Effect: "Allow",
      Principal: { Service: "sns.amazonaws.com" },
      Action: "sqs:SendMessage",
      Resource: queueArn,
      Condition: { ArnEquals: { "aws:SourceArn": topicArn } },
    },
  });
