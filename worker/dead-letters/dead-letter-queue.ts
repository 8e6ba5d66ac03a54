// Dead letters over SQS: a message together with the attributes that say why it is dead, which a worker has no need of.
import { ReceiveMessageCommand, type SQSClient } from "@aws-sdk/client-sqs";
import type { Message, Queue } from "../queue/queue.ts";
import { BATCH_LIMIT, sqsQueue, toMessage, unavailable } from "../queue/sqs.ts";

export type Letter = Message & {
  attributes: Readonly<Record<string, string>>;
  /** The queue it was in, as an ARN, when SQS itself moved it here; emulators do not say. */
  movedFrom?: string | undefined;
};

export type LetterQueue = Queue & {
  /** Resolves with up to ten, hidden from everybody else meanwhile; with none when no more are to be seen. */
  receiveLetters(options: { visibilitySeconds: number }): Promise<Letter[]>;
};

/** With a wait, however short, every server of a queue is asked; without one an answer may be empty by chance. */
const WAIT_SECONDS = 1;

export function letterQueue(client: SQSClient, url: string): LetterQueue {
  return {
    ...sqsQueue(client, url),
    async receiveLetters({ visibilitySeconds }) {
      const command = new ReceiveMessageCommand({
        QueueUrl: url,
        MaxNumberOfMessages: BATCH_LIMIT,
        WaitTimeSeconds: WAIT_SECONDS,
        VisibilityTimeout: visibilitySeconds,
        // Asked for under both names: moto and other old servers know only the second.
        MessageSystemAttributeNames: ["ApproximateReceiveCount", "SentTimestamp", "MessageGroupId"],
        AttributeNames: ["All"],
        MessageAttributeNames: ["All"],
      });
      const { Messages } = await client.send(command).catch((error) => unavailable(error, url));
      return (Messages ?? []).map((message) => ({
        ...toMessage(message, url),
        attributes: textsOf(message),
        movedFrom: message.Attributes?.DeadLetterQueueSourceArn,
      }));
    },
  };
}

const textsOf = ({
  MessageAttributes = {},
}: {
  MessageAttributes?: Record<string, { StringValue?: string | undefined }> | undefined;
}) =>
  Object.fromEntries(
    Object.entries(MessageAttributes).flatMap(([name, { StringValue }]) =>
      StringValue === undefined ? [] : [[name, StringValue]],
    ),
  );
