// A queue as a whole, for people: how many messages are in it, and how to empty it. A worker needs neither.
import { GetQueueAttributesCommand, PurgeQueueCommand, type SQSClient } from "@aws-sdk/client-sqs";
import { unavailable } from "./sqs.ts";

/** Approximate, as SQS's own figures are. */
export type Depth = {
  /** Can be received now. */
  waiting: number;
  /** Received and hidden: they run, or wait in a worker, or for another attempt. */
  inFlight: number;
  /** Sent with a delay that is not over. */
  delayed: number;
};

const FIGURES = {
  waiting: "ApproximateNumberOfMessages",
  inFlight: "ApproximateNumberOfMessagesNotVisible",
  delayed: "ApproximateNumberOfMessagesDelayed",
} as const;

/** Throws `queue_unavailable`. */
export async function depthOf(client: SQSClient, url: string): Promise<Depth> {
  const command = new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: Object.values(FIGURES) });
  const { Attributes = {} } = await client
    .send(command)
    .catch((error) => unavailable(error, url, "sqs:GetQueueAttributes"));
  const figure = (name: keyof typeof FIGURES) => Number(Attributes[FIGURES[name]] ?? 0);
  return { waiting: figure("waiting"), inFlight: figure("inFlight"), delayed: figure("delayed") };
}

/** Deletes all its messages, those in flight included. SQS takes up to a minute for it. Throws `queue_unavailable`. */
export async function purgeQueue(client: SQSClient, url: string): Promise<void> {
  await client
    .send(new PurgeQueueCommand({ QueueUrl: url }))
    .catch((error) => unavailable(error, url, "sqs:PurgeQueue"));
}
