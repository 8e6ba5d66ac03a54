// Creates the queues, the bucket and the topic that resources.ts lists, in the embedded AWS and at any emulator. On real AWS the template in
// infra/ does that.
import { CreateBucketCommand, HeadBucketCommand } from "@aws-sdk/client-s3";
import { CreateTopicCommand } from "@aws-sdk/client-sns";
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  SetQueueAttributesCommand,
} from "@aws-sdk/client-sqs";
import type { AwsClients } from "./clients.ts";
import { healthOf, statusOf } from "./errors.ts";
import { attributesOf, BUCKET, QUEUES, TOPIC } from "./resources.ts";

/** Creates what aws/resources.ts lists and updates what differs. What exists keeps its messages and objects. Resolves with the topic's ARN. */
export async function createResources({ sqs, s3, sns }: AwsClients): Promise<string> {
  const arns = new Map<string, string>();
  // One after another: a queue's redrive policy names a queue that comes before it.
  for (const definition of QUEUES) {
    const attributes = attributesOf(definition, (name) => arns.get(name)!);
    arns.set(definition.name, await createQueue(sqs, definition.name, attributes));
  }
  await createBucket(s3);
  return (await sns.send(new CreateTopicCommand({ Name: TOPIC }))).TopicArn!;
}

/** Resolves with the queue's ARN, which contains the endpoint's account. */
async function createQueue(
  sqs: AwsClients["sqs"],
  QueueName: string,
  Attributes: Record<string, string>,
): Promise<string> {
  const existing = await sqs.send(new GetQueueUrlCommand({ QueueName })).catch((error) => {
    if (healthOf(error) === "missing_queue") return null;
    throw error;
  });
  const { QueueUrl } = existing ?? (await sqs.send(new CreateQueueCommand({ QueueName, Attributes })));
  if (existing) await sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes }));
  const asked = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] });
  return (await sqs.send(asked)).Attributes!.QueueArn!;
}

async function createBucket(s3: AwsClients["s3"]): Promise<void> {
  const found = await s3.send(new HeadBucketCommand({ Bucket: BUCKET })).then(
    () => true,
    (error) => {
      if (statusOf(error) === 404) return false;
      throw error;
    },
  );
  if (!found) await s3.send(new CreateBucketCommand({ Bucket: BUCKET }));
}
