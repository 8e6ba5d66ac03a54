// The names and attributes of everything Kamado needs in AWS, for the embedded AWS and for every emulator, and the addresses
// that a worker uses.
import type { AwsConfig } from "./clients.ts";

export const REGION = "us-east-1";
/** The account of every emulator. */
const ACCOUNT = "000000000000";

export const BUCKET = "kamado";
export const TOPIC = "kamado-results";

/** Without the redrive policy, which needs the ARN of the dead-letter queue. */
export type QueueDefinition = {
  name: string;
  attributes: Record<string, string>;
  dead?: { name: string; maxReceiveCount: number };
};

const FOURTEEN_DAYS = String(14 * 24 * 3600);

/** Dead-letter queues come first, because a redrive policy can only name a queue that exists. */
export const QUEUES = [
  { name: "kamado-jobs-dead", attributes: { MessageRetentionPeriod: FOURTEEN_DAYS } },
  { name: "kamado-deliveries-dead", attributes: { MessageRetentionPeriod: FOURTEEN_DAYS } },
  {
    name: "kamado-jobs",
    // A lease is renewed while its job runs. So this is how long the jobs of a worker that died stay hidden.
    attributes: {
      VisibilityTimeout: "120",
      MessageRetentionPeriod: FOURTEEN_DAYS,
      ReceiveMessageWaitTimeSeconds: "20",
    },
    // Far above the number of attempts of a job: a worker also receives without starting a run, when it stops or sleeps, or
    // while the job runs elsewhere.
    dead: { name: "kamado-jobs-dead", maxReceiveCount: 100 },
  },
  {
    name: "kamado-deliveries",
    attributes: {
      VisibilityTimeout: "120",
      MessageRetentionPeriod: FOURTEEN_DAYS,
      ReceiveMessageWaitTimeSeconds: "20",
    },
    // The outbox has its own schedule. This only stops a delivery that kills every worker that receives it.
    dead: { name: "kamado-deliveries-dead", maxReceiveCount: 100 },
  },
] as const satisfies QueueDefinition[];

export type QueueName = (typeof QUEUES)[number]["name"];

export const queueUrl = (endpoint: string, name: QueueName) => `${endpoint}/${ACCOUNT}/${name}`;
export const queueArn = (name: string) => `arn:aws:sqs:${REGION}:${ACCOUNT}:${name}`;
export const topicArn = () => `arn:aws:sns:${REGION}:${ACCOUNT}:${TOPIC}`;

/** The attributes to create a queue with, including its redrive policy. */
export function attributesOf({ attributes, dead }: QueueDefinition, arnOf: (name: string) => string) {
  if (!dead) return attributes;
  const { name, maxReceiveCount } = dead;
  const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: arnOf(name), maxReceiveCount });
  return { ...attributes, RedrivePolicy };
}

/** Where a worker finds its parts of AWS: from the configuration, or the embedded AWS's own. */
export type Cloud = {
  aws: AwsConfig;
  /** Where jobs are sent. */
  queueUrl: string;
  /** The queues to pull from, when there are several. Their dead letters share one queue. */
  queues?: readonly { url: string; weight: number }[];
  deadQueueUrl: string;
  /** The outbox. Without one, a failed delivery keeps its job's message. */
  deliveriesQueueUrl: string | undefined;
  deadDeliveriesQueueUrl: string;
  topicArn: string | undefined;
};
