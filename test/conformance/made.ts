// What a suite created on an AWS that outlives it, so that all of it can be removed.
import { DeleteBucketCommand, DeleteObjectCommand, ListObjectsV2Command } from "@aws-sdk/client-s3";
import { DeleteTopicCommand } from "@aws-sdk/client-sns";
import { DeleteQueueCommand } from "@aws-sdk/client-sqs";
import type { AwsClients } from "../../worker/aws/clients.ts";

export class Made {
  readonly queues: string[] = [];
  readonly topics: string[] = [];
  readonly buckets: string[] = [];

  /** Removes everything; throws when something cannot be removed. Subscriptions are removed with their topics. */
  async remove({ sqs, s3, sns }: AwsClients): Promise<void> {
    for (const TopicArn of this.topics.splice(0)) await sns.send(new DeleteTopicCommand({ TopicArn }));
    for (const QueueUrl of this.queues.splice(0)) await sqs.send(new DeleteQueueCommand({ QueueUrl }));
    for (const Bucket of this.buckets.splice(0)) {
      const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket }));
      for (const { Key } of Contents) await s3.send(new DeleteObjectCommand({ Bucket, Key }));
      await s3.send(new DeleteBucketCommand({ Bucket }));
    }
  }
}
