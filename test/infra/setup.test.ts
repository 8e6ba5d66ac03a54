// `kamado setup aws` and the stack as it is deployed: what it writes is what a worker connects to.
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { cloudOf } from "../../worker/cli/cloud.ts";
import { setupAws } from "../../worker/cli/commands/setup.ts";
import { loadConfig } from "../../worker/config/config.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { probeBucket } from "../../worker/storage/health.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { DEPLOY_MS, deploy, whyNotDeployed } from "./deployed.ts";

test(
  "the worker's user connects with what setup wrote, and may not read the stack itself",
  async (context) => {
    const skipped = whyNotDeployed();
    if (skipped !== null) return context.skip(skipped);
    const deployed = await deploy();
    try {
      const endpoint = deployed.admin.endpoint!;
      const keys = { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test" };
      const file = join(mkdtempSync(join(tmpdir(), "kamado-setup-")), "kamado.env");
      await setupAws({ stack: "kamado", file }, loadConfig(keys, { AWS_ENDPOINT_URL: endpoint }));
      const lines = readFileSync(file, "utf8").trimEnd().split("\n");
      const config = loadConfig(
        {},
        Object.fromEntries(lines.map((line) => line.split(/=(.*)/s).slice(0, 2))),
      );
      const cloud = cloudOf(config);
      const worker = await deployed.keyOf("kamado-worker");
      const clients = makeAwsClients({ ...cloud.aws, credentials: worker.credentials });
      try {
        for (const url of [cloud.queueUrl, cloud.deliveriesQueueUrl!])
          expect(
            await sqsQueue(clients.sqs, url).receive({ max: 1, waitSeconds: 0, visibilitySeconds: 5 }),
          ).toEqual([]);
        for (const url of [cloud.deadQueueUrl, cloud.deadDeliveriesQueueUrl])
          expect(await sqsQueue(clients.sqs, url).send("{}")).not.toBe("");
        expect(await probeBucket(s3Bucket(clients.s3, config.bucket))).toBeNull();
        expect(cloud.topicArn).toBe(deployed.outputs.TopicArn);
      } finally {
        clients.destroy();
      }
      const { accessKeyId, secretAccessKey } = worker.credentials!;
      const own = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
      const asWorker = setupAws({ stack: "kamado", file }, loadConfig(own, { AWS_ENDPOINT_URL: endpoint }));
      await expect(asWorker).rejects.toMatchObject({
        code: "stack_unavailable",
        hint: expect.stringContaining("cloudformation:DescribeStacks"),
      });
    } finally {
      await deployed.stop();
    }
  },
  DEPLOY_MS,
);
