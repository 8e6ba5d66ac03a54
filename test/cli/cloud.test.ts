// Which AWS resources a command uses.
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { cloudOf, cloudOrLocal, queuesHere } from "../../worker/cli/cloud.ts";
import { loadConfig } from "../../worker/config/config.ts";
import { startLocalAws } from "../../worker/local/local-aws.ts";
import { depthOf } from "../../worker/queue/whole-queue.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { startReceiver } from "../fakes/receiver.ts";

const QUEUE = "https://sqs.eu-west-1.amazonaws.com/111122223333/kamado-jobs";

const at = (name: string) => QUEUE.replace("kamado-jobs", name);

test.each([
  ["with kamado-jobs come its delivery queues", "kamado-jobs", "kamado-jobs-dead", "kamado-deliveries-dead"],
  [
    "without a queue of their own, dead deliveries go to the jobs' dead-letter queue",
    "mine",
    "mine-dead",
    "mine-dead",
  ],
  ["the dead letters of a FIFO queue are FIFO", "mine.fifo", "mine-dead.fifo", "mine-dead.fifo"],
])("%s", (_, jobs, dead, deadDeliveries) => {
  expect(cloudOf(loadConfig({}, { KAMADO_QUEUE_URL: at(jobs) }))).toMatchObject({
    queueUrl: at(jobs),
    deadQueueUrl: at(dead),
    deadDeliveriesQueueUrl: at(deadDeliveries),
  });
});

test("without a queue a worker names the variable to set", () => {
  expect(() => cloudOf(loadConfig({}, {}))).toThrow(
    expect.objectContaining({ message: expect.stringContaining("KAMADO_QUEUE_URL") }),
  );
});

test("without a queue a sender uses the `kamado serve` on this machine", () => {
  expect(cloudOrLocal(loadConfig({}, { KAMADO_LOCAL_PORT: "4999" })).queueUrl).toBe(
    "http://127.0.0.1:4999/000000000000/kamado-jobs",
  );
});

test.each([
  ["with its key", { KAMADO_LOCAL_KEY: "a-key-of-some-length" }, "a-key-of-some-length"],
  ["without one, as the manuals of emulators do", {}, "test"],
])("a sender signs for the `kamado serve` on this machine %s", (_, variables, key) => {
  const credentials = { accessKeyId: key, secretAccessKey: key };
  expect(cloudOrLocal(loadConfig({}, variables)).aws.credentials).toEqual(credentials);
});

const here = (url: string) =>
  loadConfig(
    {},
    {
      KAMADO_LOCAL_PORT: new URL(url).port,
      KAMADO_DATA_DIR: mkdtempSync(join(tmpdir(), "kamado-cloud-")),
    },
  );
const web = () =>
  startReceiver((_, response) => void response.writeHead(200, { server: "nginx" }).end("<html>Hello</html>"));

test("another program at the port of the queues is named, with what to do", async () => {
  await using page = await web();
  await expect(queuesHere(here(page.url))).rejects.toMatchObject({
    code: "queue_unavailable",
    message: `At http://127.0.0.1:${new URL(page.url).port}, where the queues of \`npm start\` would be, there is another HTTP server (nginx).`,
    hint: expect.stringMatching(/Stop that program, or set KAMADO_LOCAL_PORT .*KAMADO_QUEUE_URL/),
  });
});

test.each([undefined, "a-key-of-some-length"])("an embedded queue is used, with the key %s", async (key) => {
  const local = await startLocalAws({ port: 0, key });
  try {
    const { cloud } = await queuesHere(here(local.endpoint));
    expect(cloud.queueUrl).toBe(local.resources.jobsQueueUrl);
  } finally {
    await local.stop();
  }
});

test.each([
  [200, "<html>Hello</html>"],
  [502, "<html>Bad gateway</html>"],
  [404, '{"detail":"Not Found"}'],
  [200, "{"],
])(
  "where a queue is configured and a web server answers %i %s, the SDK's words are not shown",
  async (status, body) => {
    await using page = await startReceiver((_, response) => void response.writeHead(status).end(body));
    const clients = makeAwsClients({
      endpoint: page.url,
      region: "us-east-1",
      credentials: { accessKeyId: "test", secretAccessKey: "test" },
    });
    const depth = depthOf(clients.sqs, `${page.url}/000000000000/kamado-jobs`);
    await expect(depth).rejects.toMatchObject({
      code: "queue_unavailable",
      message: expect.stringMatching(new RegExp(`what answers there is no AWS queue \\(HTTP ${status}\\)`)),
      hint: expect.stringContaining("AWS_ENDPOINT_URL"),
    });
    clients.destroy();
  },
);

test("a web server that answers 200 to everything is no empty bucket", async () => {
  await using page = await web();
  const clients = makeAwsClients({
    endpoint: page.url,
    region: "us-east-1",
    credentials: { accessKeyId: "test", secretAccessKey: "test" },
  });
  await expect(s3Bucket(clients.s3, "kamado").list("results/")).rejects.toMatchObject({
    code: "storage_unavailable",
    message: expect.stringContaining("what answers there is no S3"),
  });
  clients.destroy();
});
