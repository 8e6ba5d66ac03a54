// What main.ts brings together: here that a worker as configured asks AWS for its rights before the first job.
import { expect, onTestFinished, test } from "vitest";
import { loadConfig } from "../worker/config/config.ts";
import { silentLog } from "../worker/logging/log.ts";
import { openWorker } from "../worker/main.ts";
import { awsServer } from "./fakes/aws-server.ts";

test("a worker that may receive jobs and not delete them pulls none, and names the right", async () => {
  const asked = new Set<string>();
  await using server = await awsServer((request, response) => {
    const operation = String(request.headers["x-amz-target"] ?? "").replace("AmazonSQS.", "");
    asked.add(operation);
    const answer = (status: number, type: string, body: string) =>
      response.writeHead(status, { "content-type": type }).end(body);
    if (operation === "")
      return answer(200, "application/xml", "<ListBucketResult><Name>kamado</Name></ListBucketResult>");
    const type = operation === "DeleteMessageBatch" ? "AccessDenied" : "InvalidParameterValue";
    answer(
      400,
      "application/x-amz-json-1.0",
      JSON.stringify({ __type: `x#${type}`, message: "Access Denied" }),
    );
  });
  const queueUrl = `${server.endpoint}/123456789012/kamado-jobs`;
  const cloud = {
    aws: {
      endpoint: server.endpoint,
      region: "eu-central-1",
      credentials: { accessKeyId: "a", secretAccessKey: "b" },
    },
    queueUrl,
    deadQueueUrl: `${queueUrl}-dead`,
    deliveriesQueueUrl: undefined,
    deadDeliveriesQueueUrl: `${queueUrl}-dead`,
    topicArn: undefined,
  };
  const worker = await openWorker(
    loadConfig({ KAMADO_QUEUE_URL: queueUrl, KAMADO_HISTORY_DAYS: "0" }, {}),
    cloud,
    async () => ({ url: "http://127.0.0.1:1" }),
    silentLog,
  );
  onTestFinished(() => worker.stop());
  worker.start();
  await expect
    .poll(() => worker.state().startCheck)
    .toMatchObject({
      passed: false,
      error: {
        code: "permission_missing",
        message:
          "AWS does not let the worker do sqs:DeleteMessage on arn:aws:sqs:eu-central-1:123456789012:kamado-jobs.",
      },
    });
  expect(worker.state().status).toBe("UNHEALTHY");
  expect([...asked]).toContain("ChangeMessageVisibilityBatch");
});
