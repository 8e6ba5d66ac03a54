// The examples under examples/enqueue/ send jobs that a worker takes.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import imageCheck from "../../handlers/image-check.ts";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { parseBody } from "../../worker/job/envelope.ts";
import { startLocalAws } from "../../worker/local/local-aws.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";

const examples = join(import.meta.dirname, "../../examples/enqueue");

function jobOf(body: string) {
  const parsed = parseBody(body, { messageId: "m1", rules: [] });
  if (parsed.is !== "job") throw new Error(`not a job: ${JSON.stringify(parsed)}`);
  return { ...parsed.job, input: imageCheck.input.parse(parsed.job.input) };
}

test("the shell script sends a job, whatever is in the question", () => {
  const folder = mkdtempSync(join(tmpdir(), "enqueue-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  // An aws that keeps the last argument it was called with, which is the message's body.
  const fake = `#!/bin/sh\nfor last in "$@"; do :; done\nprintf '%s' "$last" > "${join(folder, "sent")}"\n`;
  writeFileSync(join(folder, "aws"), fake, { mode: 0o755 });
  const question = 'Is the "front" door\nlocked \\ bolted? 🚪';
  execFileSync("sh", [join(examples, "aws-cli.sh"), "/some where/door.jpg", question], {
    env: { PATH: `${folder}:${process.env.PATH}` },
  });
  const job = jobOf(readFileSync(join(folder, "sent"), "utf8"));
  expect(job).toMatchObject({
    kind: "image.check",
    input: { question: 'Is the "front" door locked \\ bolted? 🚪' },
    deliver: [{ sns: "arn:aws:sns:us-east-1:000000000000:kamado-results" }],
  });
  expect(job.input.image).toMatch(/^s3:\/\/kamado\/in\/.+-door\.jpg$/);
});

test("the Lambda sends a job for each picture, the same for an event that comes twice", async () => {
  const aws = await startLocalAws({ port: 0 });
  onTestFinished(() => aws.stop());
  const clients = makeAwsClients(aws);
  onTestFinished(() => clients.destroy());
  const { jobsQueueUrl, topicArn } = aws.resources;
  const { accessKeyId, secretAccessKey } = aws.credentials;
  for (const [name, value] of Object.entries({
    AWS_ENDPOINT_URL: aws.endpoint,
    AWS_REGION: aws.region,
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
    QUEUE_URL: jobsQueueUrl,
    TOPIC_ARN: topicArn,
  }))
    vi.stubEnv(name, value);
  onTestFinished(() => void vi.unstubAllEnvs());
  const { handler } = await import(join(examples, "lambda/index.mjs"));
  const s3 = {
    bucket: { name: "kamado" },
    object: { key: "in/a+b%20%E5%86%99.jpg", sequencer: "0055AED6DC" },
  };
  await handler({ Records: [{ s3 }] });
  await handler({ Records: [{ s3 }] });
  const queue = sqsQueue(clients.sqs, jobsQueueUrl);
  const messages = await queue.receive({ max: 10, waitSeconds: 1, visibilitySeconds: 10 });
  const [first, second] = messages.map(({ body }) => jobOf(body));
  expect(first).toMatchObject({
    kind: "image.check",
    input: { image: "s3://kamado/in/a b 写.jpg" },
    deliver: [{ sns: topicArn }],
  });
  expect(second).toEqual(first);
});
