// The promises on AWS itself, for whoever has an account to spend a few cents of: KAMADO_TEST_AWS=1 npx vitest run
// test/conformance/aws.test.ts. Everything made is named kamado-test-… and removed in the end.
import { randomUUID } from "node:crypto";
import { CreateQueueCommand, DeleteQueueCommand } from "@aws-sdk/client-sqs";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { promisesOn, type Started } from "./emulated.ts";

const region = process.env.AWS_REGION ?? process.env.AWS_DEFAULT_REGION ?? "us-east-1";

async function start(): Promise<Started> {
  const clients = makeAwsClients({ region });
  const { QueueUrl } = await clients.sqs.send(
    new CreateQueueCommand({ QueueName: `kamado-test-${randomUUID()}` }),
  );
  await clients.sqs.send(new DeleteQueueCommand({ QueueUrl }));
  clients.destroy();
  // One of this account that never was: a deleted one goes on answering for a minute.
  return { aws: { region }, missingQueueUrl: `${QueueUrl}-none`, stop: async () => {} };
}

const asked = process.env.KAMADO_TEST_AWS === "1";
promisesOn("AWS", asked ? null : "set KAMADO_TEST_AWS=1, with credentials, to run them on AWS", start, {
  sqs: {
    "a lease that went to somebody else is reported as lost":
      "AWS does not promise it: an old receipt may still be taken, see docs/guarantees.md",
  },
});
