// Which rights the worker has on its queues and its topic. Each is tried with a call that takes no message and sends none, wherever it is
// sent: AWS and every emulator refuse its parameters. So the answer says whether the call was allowed.
import { PublishBatchCommand, type SNSClient } from "@aws-sdk/client-sns";
import {
  ChangeMessageVisibilityBatchCommand,
  ChangeMessageVisibilityCommand,
  DeleteMessageBatchCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  type SQSClient,
} from "@aws-sdk/client-sqs";
import { queueArnOf, type Verdict, verdictOf } from "../aws/rights.ts";

/** No message has it. */
const HANDLE = { Id: "probe", ReceiptHandle: "kamado-probe" };
const BRIEF = { requestTimeout: 5_000 };

type Call = (sqs: SQSClient, QueueUrl: string) => Promise<unknown>;

const CALLS = {
  "sqs:ReceiveMessage": askToReceive,
  "sqs:DeleteMessage": (sqs, QueueUrl) =>
    sqs.send(new DeleteMessageBatchCommand({ QueueUrl, Entries: [HANDLE] }), BRIEF),
  "sqs:ChangeMessageVisibility": (sqs, QueueUrl) =>
    sqs.send(
      new ChangeMessageVisibilityBatchCommand({ QueueUrl, Entries: [{ ...HANDLE, VisibilityTimeout: 0 }] }),
      BRIEF,
    ),
  "sqs:SendMessage": (sqs, QueueUrl) =>
    sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries: [] }), BRIEF),
} as const satisfies Record<string, Call>;

export type QueueAction = keyof typeof CALLS;

/** LocalStack takes a 0 for 1, and a -1 for all there are. A server without limits, as ElasticMQ may be set, gives messages: they go back. */
async function askToReceive(sqs: SQSClient, QueueUrl: string): Promise<void> {
  const odd = { MaxNumberOfMessages: 11, WaitTimeSeconds: 0, VisibilityTimeout: -1 };
  const { Messages = [] } = await sqs.send(new ReceiveMessageCommand({ QueueUrl, ...odd }), BRIEF);
  for (const { ReceiptHandle } of Messages)
    await sqs.send(
      new ChangeMessageVisibilityCommand({ QueueUrl, ReceiptHandle, VisibilityTimeout: 0 }),
      BRIEF,
    );
}

/** What a worker cannot work without: who may receive and not delete runs every job again and again. */
export const TO_CONSUME = [
  "sqs:ReceiveMessage",
  "sqs:DeleteMessage",
  "sqs:ChangeMessageVisibility",
] as const satisfies readonly QueueAction[];

/** One verdict for each action, in their order. Never rejects. */
export function queueVerdicts(
  sqs: SQSClient,
  url: string,
  actions: readonly QueueAction[],
  region?: string,
): Promise<Verdict[]> {
  const resource = queueArnOf(url, region);
  return Promise.all(actions.map((action) => verdictOf({ action, resource }, () => CALLS[action](sqs, url))));
}

/** Never rejects. */
export const topicVerdict = (sns: SNSClient, TopicArn: string): Promise<Verdict> =>
  verdictOf({ action: "sns:Publish", resource: TopicArn }, async () => {
    const { Successful, Failed } = await sns.send(
      new PublishBatchCommand({ TopicArn, PublishBatchRequestEntries: [] }),
      BRIEF,
    );
    // The SDK reads any page as an empty answer.
    if (Successful === undefined && Failed === undefined) throw new Error("Deserialization error");
  });
