// All three ports' promises on one more AWS: started before the suites, stopped after them, or skipped with the reason.
import { afterAll, beforeAll, describe, test } from "vitest";
import { type AwsClients, type AwsConfig, makeAwsClients } from "../../worker/aws.ts";
import { blobsCases } from "./blobs.cases.ts";
import { Made } from "./made.ts";
import { s3Harness, sqsHarness } from "./over-aws.ts";
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
  s3?: Exceptions<typeof blobsCases>;
  sns?: Exceptions<typeof topicCases>;
};

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
    let started: Started;
    let clients: AwsClients;
    const made = new Made();
    beforeAll(async () => {
      started = await start();
      clients = makeAwsClients(started.aws);
    }, 120_000);
    afterAll(async () => {
      try {
        await made.remove(clients);
      } finally {
        clients.destroy();
        await started.stop();
      }
    }, 120_000);
    runSuite("SQS", queueCases, () => sqsHarness(clients, made, started.missingQueueUrl), sqs);
    runSuite("S3", blobsCases, () => s3Harness(clients, made), s3);
    runSuite("SNS", topicCases, () => snsHarness(clients, made), sns);
  });
}

/** How anything that is not AWS itself is spoken to. */
export const locally = (endpoint: string): AwsConfig => ({
  endpoint,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
});
