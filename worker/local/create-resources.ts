// Creates what resources.ts lists, at any endpoint that speaks AWS, and changes what is there but differs.
// May run as often as one likes: what exists keeps its messages and objects.
import { CreateBucketCommand, HeadBucketCommand } from "@aws-sdk/client-s3";
import { CreateTopicCommand } from "@aws-sdk/client-sns";
import { CreateQueueCommand, GetQueueUrlCommand, SetQueueAttributesCommand } from "@aws-sdk/client-sqs";
import type { AwsClients } from "../aws.ts";
import { healthOf, statusOf } from "../aws-errors.ts";
import { attributesOf, BUCKET, QUEUES, type QueueDefinition, TOPIC } from "./resources.ts";

export async function createResources({ sqs, s3, sns }: AwsClients): Promise<void> {
  // One after another: a queue's redrive policy names a queue before it.
  for (const definition of QUEUES) await createQueue(sqs, definition);
  await createBucket(s3);
  await sns.send(new CreateTopicCommand({ Name: TOPIC }));
}

async function createQueue(sqs: AwsClients["sqs"], definition: QueueDefinition): Promise<void> {
  const QueueName = definition.name;
  const Attributes = attributesOf(definition);
  const existing = await sqs.send(new GetQueueUrlCommand({ QueueName })).catch((error) => {
    if (healthOf(error) === "missing_queue") return null;
    throw error;
  });
  await (existing
    ? sqs.send(new SetQueueAttributesCommand({ QueueUrl: existing.QueueUrl, Attributes }))
    : sqs.send(new CreateQueueCommand({ QueueName, Attributes })));
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
