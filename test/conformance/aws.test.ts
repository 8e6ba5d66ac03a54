// The promises on AWS itself; a run costs a few cents: KAMADO_TEST_AWS=1 npx vitest run test/conformance/aws.test.ts.
// Everything it creates is named kamado-test-… and removed at the end.
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
  // A queue of this account that never existed, because a deleted one still answers for a minute.
  return { aws: { region }, missingQueueUrl: `${QueueUrl}-none`, stop: async () => {} };
}

const asked = process.env.KAMADO_TEST_AWS === "1";
promisesOn("AWS", asked ? null : "set KAMADO_TEST_AWS=1, with credentials, to run them on AWS", start, {
  sqs: {
    "a lease that another worker has by now is reported as lost":
      "AWS does not promise it: an old receipt handle may still be taken, see docs/guarantees.md",
  },
});
