// The promises of all three ports on one more AWS, which is started before the suites and stopped after them, or skipped.
import { afterAll, beforeAll, describe, test } from "vitest";
import type { AwsClients, AwsConfig } from "../../worker/aws/clients.ts";
import { bucketCases } from "./bucket.cases.ts";
import { Made } from "./made.ts";
import { patientClients, s3Harness, sqsHarness } from "./over-aws.ts";
import { queueCases } from "./queue.cases.ts";
import { type Exceptions, runSuite } from "./suite.ts";
import { topicCases } from "./topic.cases.ts";
import { snsHarness } from "./topic-over-aws.ts";

export type Started = {
  aws: AwsConfig;
  /** The address of a queue that does not exist, if the suite's own does not lead to this AWS. */
  missingQueueUrl?: string;
  stop(): Promise<void>;
};

/** What this AWS cannot show, for each port. */
export type NotShown = {
  sqs?: Exceptions<typeof queueCases>;
  s3?: Exceptions<typeof bucketCases>;
  sns?: Exceptions<typeof topicCases>;
};

/** Longer than an emulator takes to start, and than a few calls to a slow one. */
const HOOK_MS = 240_000;

/** `unavailable` says why this AWS is not there; null when it is. */
export function promisesOn(
  title: string,
  unavailable: string | null,
  start: () => Promise<Started>,
  { sqs = {}, s3 = {}, sns = {} }: NotShown,
): void {
  if (unavailable !== null) {
    test(`${title} keeps the promises of queue, objects and topic`, (context) => context.skip(unavailable));
    return;
  }
  describe(title, () => {
    let started: Started | undefined;
    let clients: AwsClients;
    const made = new Made();
    beforeAll(async () => {
      started = await start();
      clients = patientClients(started.aws);
      await warmUp(clients, made);
    }, HOOK_MS);
    afterAll(async () => {
      if (started === undefined) return;
      try {
        await made.remove(clients);
      } finally {
        clients.destroy();
        await started.stop();
      }
    }, HOOK_MS);
    runSuite("SQS", queueCases, () => sqsHarness(clients, made, started!.missingQueueUrl), sqs);
    runSuite("S3", bucketCases, () => s3Harness(clients, made), s3);
    runSuite("SNS", topicCases, () => snsHarness(clients, made), sns);
  });
}

/** Creates one of each in turn, because an emulator loads a service at its first call. */
async function warmUp(clients: AwsClients, made: Made): Promise<void> {
  await sqsHarness(clients, made).create();
  await s3Harness(clients, made);
  await snsHarness(clients, made).create();
}

/** The config for an endpoint that is not AWS itself. */
export const locally = (endpoint: string): AwsConfig => ({
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
});
