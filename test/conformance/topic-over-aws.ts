// The topic suite's harness over any endpoint that speaks AWS: each subscriber is a queue.
import { randomUUID } from "node:crypto";
import { CreateTopicCommand, SubscribeCommand } from "@aws-sdk/client-sns";
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
} from "@aws-sdk/client-sqs";
import type { AwsClients } from "../../worker/aws.ts";
import { snsTopic } from "../../worker/deliver/topic.ts";
import type { Published } from "../fakes/topic.ts";
import type { TopicHarness } from "./topic.cases.ts";

export function snsHarness({ sns, sqs }: AwsClients): TopicHarness {
  const suffix = (fifo: boolean) => (fifo ? ".fifo" : "");
  async function makeQueue(fifo: boolean): Promise<{ url: string; arn: string }> {
    const Attributes: Record<string, string> = fifo ? { FifoQueue: "true" } : {};
    const QueueName = `test-${randomUUID()}${suffix(fifo)}`;
    const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName, Attributes }));
    const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] });
    return { url: QueueUrl!, arn: (await sqs.send(command)).Attributes!.QueueArn! };
  }
  async function receive(QueueUrl: string): Promise<Published[]> {
    const command = new ReceiveMessageCommand({
      QueueUrl,
      MaxNumberOfMessages: 10,
      WaitTimeSeconds: 2,
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
        new CreateTopicCommand({ Name: `test-${randomUUID()}${suffix(fifo)}`, Attributes }),
      );
      return TopicArn!;
    },
    async subscribe(arn, filter) {
      const queue = await makeQueue(arn.endsWith(".fifo"));
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
