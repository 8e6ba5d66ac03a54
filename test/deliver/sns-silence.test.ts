// A topic that takes the connection and never answers holds nobody.
import { expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { snsTopic } from "../../worker/deliver/sns.ts";
import { blackHole } from "../fakes/aws-server.ts";

test("publishing to a topic that never answers fails, and may be tried again", async () => {
  await using server = await blackHole();
  const timeouts = { connectionTimeout: 200, requestTimeout: 200, socketTimeout: 200 };
  const credentials = { accessKeyId: "a", secretAccessKey: "b" };
  const clients = makeAwsClients({ endpoint: server.endpoint, region: "us-east-1", credentials }, timeouts);
  onTestFinished(() => clients.destroy());
  const published = snsTopic(clients.sns).publish("arn:aws:sns:us-east-1:000000000000:t", "x", {});
  await expect(published).rejects.toMatchObject({ code: "delivery_failed", retry: true });
});
