// The topic suite's harness over any endpoint that speaks AWS: each subscriber is a queue.
import { randomUUID } from "node:crypto";
import { CreateTopicCommand, SubscribeCommand } from "@aws-sdk/client-sns";
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SetQueueAttributesCommand,
} from "@aws-sdk/client-sqs";
import type { AwsClients } from "../../worker/aws/clients.ts";
import { snsTopic } from "../../worker/deliver/sns.ts";
import type { Published } from "../fakes/topic.ts";
import { Made } from "./made.ts";
import type { TopicHarness } from "./topic.cases.ts";

export function snsHarness({ sns, sqs }: AwsClients, made = new Made()): TopicHarness {
  const suffix = (fifo: boolean) => (fifo ? ".fifo" : "");
  async function makeQueue(fifo: boolean): Promise<{ url: string; arn: string }> {
    const Attributes: Record<string, string> = fifo ? { FifoQueue: "true" } : {};
    const QueueName = `kamado-test-${randomUUID()}${suffix(fifo)}`;
    const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName, Attributes }));
    made.queues.push(QueueUrl!);
    const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] });
    return { url: QueueUrl!, arn: (await sqs.send(command)).Attributes!.QueueArn! };
  }
  /** AWS delivers to a queue only what its policy allows. */
  async function allow(topic: string, queue: { url: string; arn: string }): Promise<void> {
    const Policy = JSON.stringify({
      Version: "2012-10-17",
      Statement: {
        Effect: "Allow",
        Principal: { Service: "sns.amazonaws.com" },
        Action: "sqs:SendMessage",
        Resource: queue.arn,
        Condition: { ArnEquals: { "aws:SourceArn": topic } },
      },
    });
    await sqs.send(new SetQueueAttributesCommand({ QueueUrl: queue.url, Attributes: { Policy } }));
  }
  async function receive(QueueUrl: string): Promise<Published[]> {
    const command = new ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: 10,
      WaitTimeSeconds: 15,
      MessageAttributeNames: ["All"],
    });
    const { Messages = [] } = await sqs.send(command);
    for (const { ReceiptHandle } of Messages)
      await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
    return Messages.map(({ Body, MessageAttributes = {} }) => ({
      message: Body!,
      attributes: Object.fromEntries(
        Object.entries(MessageAttributes).map(([name, { StringValue }]) => [name, StringValue!]),
      ),
    }));
  }
  return {
    topic: snsTopic(sns),
    async create({ fifo = false } = {}) {
      const Attributes: Record<string, string> = fifo ? { FifoTopic: "true" } : {};
      const { TopicArn } = await sns.send(
        new CreateTopicCommand({ Name: `kamado-test-${randomUUID()}${suffix(fifo)}`, Attributes }),
      );
      made.topics.push(TopicArn!);
      return TopicArn!;
    },
    async subscribe(arn, filter) {
      const queue = await makeQueue(arn.endsWith(".fifo"));
      await allow(arn, queue);
      const Attributes = {
        RawMessageDelivery: "true",
        ...(filter && { FilterPolicy: JSON.stringify(filter) }),
      };
      await sns.send(
        new SubscribeCommand({ TopicArn: arn, Protocol: "sqs", Endpoint: queue.arn, Attributes }),
      );
      return {
        async take(count) {
          const all: Published[] = [];
          for (
            let more = await receive(queue.url);
            more.length > 0;
            more = all.length < count ? await receive(queue.url) : []
          )
            all.push(...more);
          return all;
        },
      };
    },
  };
}
