// The template with other parameters than its defaults, deployed: who signs in to the API, and as whom the Mac works.
import { expect, test } from "vitest";
import { DEPLOY_MS, deploy, OPERATOR, whyNotAll, whyNotDeployed } from "./deployed.ts";
import { post } from "./signed-post.ts";

test(
  "with a user of one's own none is made, and with a user pool the API asks for a token",
  async (context) => {
    const skipped = whyNotAll() ?? whyNotDeployed();
    if (skipped !== null) return context.skip(skipped);
    const deployed = await deploy({
      NamePrefix: "home",
      BucketName: "my-own-bucket",
      WorkerUserName: OPERATOR,
      RestApi: "cognito",
      UserPoolArn: "arn:aws:cognito-idp:us-east-1:000000000000:userpool/us-east-1_AbCdEfGhI",
      NotificationEmail: "me@example.org",
      InputDays: "15",
    });
    try {
      const { outputs } = deployed;
      expect(outputs).toMatchObject({
        JobsQueueUrl: expect.stringMatching(/\/home-jobs$/),
        DeliveriesDeadQueueUrl: expect.stringMatching(/\/home-deliveries-dead$/),
        TopicArn: expect.stringMatching(/:home-results$/),
        BucketName: "my-own-bucket",
      });
      expect(outputs.WorkerUserName).toBeUndefined();
      const sids = (await deployed.statementsOf(outputs.EnqueuerPolicyArn!)).map(({ Sid }) => Sid);
      expect(sids).not.toContain("PostJobs");
      const signed = await deployed.keyOf(OPERATOR);
      for (const who of [signed, { ...signed, credentials: undefined }])
        expect((await post(who, outputs.JobsApiUrl!, "{}")).status).toBe(401);
    } finally {
      await deployed.stop();
    }
  },
  DEPLOY_MS,
);

test(
  "without an API there is no address, and nothing else is missing",
  async (context) => {
    const skipped = whyNotAll() ?? whyNotDeployed();
    if (skipped !== null) return context.skip(skipped);
    const deployed = await deploy({ RestApi: "none" });
    const { JobsApiUrl, JobsQueueUrl, BucketName } = deployed.outputs;
    await deployed.stop();
    expect([JobsApiUrl, typeof JobsQueueUrl, typeof BucketName]).toEqual([undefined, "string", "string"]);
  },
  DEPLOY_MS,
);
