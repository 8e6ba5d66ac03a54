// Creates Kamado's queues, bucket and topic at the endpoint that AWS_ENDPOINT_URL names: LocalStack or any other emulator. What exists keeps
// its messages, so it may run again. It waits for an endpoint that is still starting.
//
//   AWS_ENDPOINT_URL=http://127.0.0.1:4566 AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test node infra/localstack-init/create.mjs
import { setTimeout as sleep } from "node:timers/promises";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { createResources } from "../../worker/aws/create-resources.ts";
import { QUEUES } from "../../worker/aws/resources.ts";

const { AWS_ENDPOINT_URL: endpoint, AWS_REGION: region = "us-east-1" } = process.env;
const { AWS_ACCESS_KEY_ID: accessKeyId = "test", AWS_SECRET_ACCESS_KEY: secretAccessKey = "test" } =
  process.env;
if (!endpoint) fail("AWS_ENDPOINT_URL is not set: name the emulator, such as http://127.0.0.1:4566.");

const WAIT_SECONDS = 120;

function fail(words) {
  process.stderr.write(`create: ${words}\n`);
  process.exit(1);
}

/** An emulator that starts answers nothing, or 5xx. Anything else is no matter of time. */
const mayComeLater = ({ code, $metadata, name }) =>
  ["ECONNREFUSED", "ECONNRESET", "ENOTFOUND", "EAI_AGAIN"].includes(code) ||
  name === "TimeoutError" ||
  ($metadata?.httpStatusCode ?? 0) >= 500;

const clients = makeAwsClients({ endpoint, region, credentials: { accessKeyId, secretAccessKey } });
const end = performance.now() + WAIT_SECONDS * 1_000;
let topicArn;
while (topicArn === undefined) {
  try {
    topicArn = await createResources(clients);
  } catch (thrown) {
    if (!mayComeLater(thrown)) fail(`${endpoint}: ${thrown.name}: ${thrown.message}`);
    if (performance.now() > end)
      fail(`${endpoint} does not answer after ${WAIT_SECONDS} s: ${thrown.message}`);
    await sleep(1_000);
  }
}
clients.destroy();
process.stdout.write(
  `create: ${endpoint} has ${QUEUES.map(({ name }) => name).join(", ")}, the bucket and the topic.\n` +
    // Not every emulator has LocalStack's account, and only the worker that knows the ARN can publish.
    `KAMADO_TOPIC_ARN=${topicArn}\n`,
);
