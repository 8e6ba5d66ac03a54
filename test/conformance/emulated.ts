// All three ports' promises on one more AWS: started before the suites, stopped after them, or skipped with the reason.
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
  /** The address of a queue that does not exist, where the suite's own would not lead to this AWS. */
  missingQueueUrl?: string;
  stop(): Promise<void>;
};

/** What this AWS cannot show, port by port. */
export type NotShown = {
  sqs?: Exceptions<typeof queueCases>;
  s3?: Exceptions<typeof bucketCases>;
  sns?: Exceptions<typeof topicCases>;
};

/** More than an emulator may take to start, and more than a few calls to a slow one. */
const HOOK_MS = 240_000;

/** `unavailable` is why there is none, or null. */
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

/** One of each, one after the other: what an emulator loads when it is first asked for it, it loads here and only once. */
async function warmUp(clients: AwsClients, made: Made): Promise<void> {
  await sqsHarness(clients, made).create();
  await s3Harness(clients, made);
  await snsHarness(clients, made).create();
}

/** How anything that is not AWS itself is spoken to. */
export const locally = (endpoint: string): AwsConfig => ({
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
});
