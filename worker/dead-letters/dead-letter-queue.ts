// The port to a dead-letter queue and its adapter over SQS: a queue whose messages come with the attributes that say why they
// are dead. A worker never reads them; `kamado dead` does.
import { ReceiveMessageCommand, type SQSClient } from "@aws-sdk/client-sqs";
import type { Message, Queue } from "../queue/queue.ts";
import { BATCH_LIMIT, sqsQueue, textsOf, toMessage, unavailable } from "../queue/sqs.ts";

export type DeadMessage = Message & {
  attributes: Readonly<Record<string, string>>;
  /** The ARN of the queue it was in, when SQS itself moved it here; emulators do not say. */
  movedFrom?: string | undefined;
};

export type DeadLetterQueue = Queue & {
  /** Resolves with up to ten messages, which are then hidden from everybody else; with none when no more can be seen. */
  receiveDead(options: { visibilitySeconds: number }): Promise<DeadMessage[]>;
};

/** With a wait SQS asks all servers of the queue. Without one it may answer that there are no messages although there are. */
const WAIT_SECONDS = 1;

export function sqsDeadLetterQueue(client: SQSClient, url: string): DeadLetterQueue {
  return {
    ...sqsQueue(client, url),
    async receiveDead({ visibilitySeconds }) {
      const command = new ReceiveMessageCommand({
        QueueUrl: url,
        MaxNumberOfMessages: BATCH_LIMIT,
        WaitTimeSeconds: WAIT_SECONDS,
        VisibilityTimeout: visibilitySeconds,
        // Under both names, because moto and other old servers know only the second.
        MessageSystemAttributeNames: ["ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"],
        AttributeNames: ["All"],
        MessageAttributeNames: ["All"],
      });
      const { Messages } = await client
        .send(command)
        .catch((error) => unavailable(error, url, "sqs:ReceiveMessage"));
      return (Messages ?? []).map((message) => ({
        ...toMessage(message, url),
        attributes: textsOf(message.MessageAttributes),
        movedFrom: message.Attributes?.DeadLetterQueueSourceArn,
      }));
    },
  };
}
