// The suites' harnesses over any endpoint that speaks AWS. A new adapter is one test file that starts its server and passes its
// config; see test/queue/embedded.test.ts.
import { randomUUID } from "node:crypto";
import { type BucketLocationConstraint, CreateBucketCommand } from "@aws-sdk/client-s3";
import { CreateQueueCommand, GetQueueAttributesCommand } from "@aws-sdk/client-sqs";
import type { NodeHttpHandler } from "@smithy/node-http-handler";
import { type AwsClients, type AwsConfig, makeAwsClients } from "../../worker/aws/clients.ts";
import { queueVerdicts, TO_CONSUME } from "../../worker/checks/queue-rights.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import type { BucketHarness } from "./bucket.cases.ts";
import { Made } from "./made.ts";
import type { QueueHarness } from "./queue.cases.ts";

// A client with an endpoint of its own ignores the host of the URL.
const NO_QUEUE = "http://localhost/000000000000/kamado-no-such-queue";

/** These suites promise answers, not how soon they come: on a busy machine an emulator is slow. */
const PATIENCE_MS = 25_000;
const PATIENT = { call: PATIENCE_MS, poll: PATIENCE_MS };

export function patientClients(config: AwsConfig): AwsClients {
  const clients = makeAwsClients(config);
  for (const { config } of [clients.s3, clients.sns])
    (config.requestHandler as NodeHttpHandler).updateHttpClientConfig("requestTimeout", PATIENCE_MS);
  return clients;
}

export function sqsHarness({ sqs }: AwsClients, made = new Made(), missingUrl = NO_QUEUE): QueueHarness {
  const make = async (name: string, Attributes: Record<string, string>) => {
    const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes }));
    made.queues.push(QueueUrl!);
    return QueueUrl!;
  };
  const arnOf = async (QueueUrl: string) => {
    const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] });
    return (await sqs.send(command)).Attributes!.QueueArn!;
  };
  return {
    async create({ fifo = false, maxReceiveCount = 1_000 } = {}) {
      const name = `kamado-test-${randomUUID()}`;
      const kind: Record<string, string> = fifo ? { FifoQueue: "true" } : {};
      const suffix = fifo ? ".fifo" : "";
      const dead = await make(`${name}-dead${suffix}`, kind);
      const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: await arnOf(dead), maxReceiveCount });
      const jobs = await make(`${name}${suffix}`, { ...kind, RedrivePolicy });
      return { queue: sqsQueue(sqs, jobs, PATIENT), dead: sqsQueue(sqs, dead, PATIENT) };
    },
    missing: () => sqsQueue(sqs, missingUrl, PATIENT),
    askRights: ({ url }) => queueVerdicts(sqs, url, [...TO_CONSUME, "sqs:SendMessage"]),
    during: (work) => work,
  };
}

export async function s3Harness({ s3 }: AwsClients, made = new Made()): Promise<BucketHarness> {
  const bucket = `kamado-test-${randomUUID()}`;
  const region = await s3.config.region();
  // Every region but the first one of S3 must be named.
  const elsewhere = { CreateBucketConfiguration: { LocationConstraint: region as BucketLocationConstraint } };
  await s3.send(new CreateBucketCommand({ Bucket: bucket, ...(region !== "us-east-1" && elsewhere) }));
  made.buckets.push(bucket);
  return { bucket: s3Bucket(s3, bucket), missing: s3Bucket(s3, `no-such-bucket-${randomUUID()}`) };
}
