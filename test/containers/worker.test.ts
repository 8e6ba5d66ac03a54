// The worker's image by testcontainers: the queue and the engine outside of it, one job through. `npm run containers` builds the image.
import { createInterface } from "node:readline";
import { SendMessageCommand } from "@aws-sdk/client-sqs";
import { expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { startLocalAws } from "../../worker/local/local-aws.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { kamado, SCRIPTED } from "../cli/process.ts";
import { whyNoContainer } from "../emulators/container.ts";

const IMAGE = "localhost/kamado-worker:latest";
const TOKEN = "a-token-for-this-test";

const whyNot =
  process.platform === "linux"
    ? await whyNoContainer(IMAGE, "`npm run containers` builds it")
    : "only Linux shares the network of the host with a container";

/** The address at which an engine of this machine answers. */
async function engineHere(): Promise<URL> {
  const child = kamado(["engine"], { ...SCRIPTED, KAMADO_ENGINE_TOKEN: TOKEN });
  for await (const line of createInterface(child.stdout!)) {
    const [address] = /http:\/\/127\.0\.0\.1:\d+/.exec(line) ?? [];
    if (address) return new URL(address);
  }
  throw new Error("the engine has not started");
}

test("a job goes through the worker in a container, with the engine at host.containers.internal", async ({
  skip,
}) => {
  skip(whyNot !== null, whyNot ?? "");
  const { GenericContainer, Wait } = await import("testcontainers");
  const aws = await startLocalAws({ port: 0 });
  onTestFinished(() => aws.stop());
  const engine = await engineHere();
  const container = await new GenericContainer(IMAGE)
    .withNetworkMode("host")
    .withExtraHosts([{ host: "host.containers.internal", ipAddress: "127.0.0.1" }])
    .withEnvironment({
      AWS_ENDPOINT_URL: aws.endpoint,
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test",
      KAMADO_QUEUE_URL: aws.resources.jobsQueueUrl,
      KAMADO_ENGINE_URL: `http://host.containers.internal:${engine.port}`,
      KAMADO_ENGINE_TOKEN: TOKEN,
      KAMADO_WEB_PORT: "0",
      KAMADO_POLL_SECONDS: "1",
    })
    // Podman's own health checks need systemd, which not every machine has.
    .withWaitStrategy(Wait.forLogMessage(/"msg":"working"/))
    .start();
  onTestFinished(async () => void (await container.stop()));
  const { sqs, s3, destroy } = makeAwsClients(aws);
  onTestFinished(destroy);
  const MessageBody = JSON.stringify({ id: "contained", kind: "prompt", input: { prompt: "Say hello" } });
  await sqs.send(new SendMessageCommand({ QueueUrl: aws.resources.jobsQueueUrl, MessageBody }));
  const bucket = s3Bucket(s3, aws.resources.bucket);
  await expect.poll(() => bucket.exists("results/contained.json"), { timeout: 60_000 }).toBe(true);
  const { bytes } = await bucket.get("results/contained.json", { maxBytes: 1_000_000 });
  expect(JSON.parse(Buffer.from(bytes).toString())).toMatchObject({ status: "succeeded", kind: "prompt" });
}, 120_000);
