// The watch as a worker opens it: dead letters counted by SQS, destinations listed from the bucket, messages published by SNS.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type AwsClients, makeAwsClients } from "../../worker/aws/clients.ts";
import { loadConfig } from "../../worker/config/config.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { createOutbound } from "../../worker/outbound/outbound.ts";
import { DisabledDestinations } from "../../worker/outbox/disabled-destinations.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { openTrouble } from "../../worker/trouble/open-trouble.ts";
import { snsHarness } from "../conformance/topic-over-aws.ts";
import { FakeClock } from "../fakes/clock.ts";
import { createRig } from "../rig.ts";

let aws: LocalAws;
let clients: AwsClients;
beforeAll(async () => {
  aws = await startLocalAws({ port: 0 });
  clients = makeAwsClients(aws);
});
afterAll(async () => {
  clients.destroy();
  await aws.stop();
});

test("a dead letter and a destination that is off reach the subscribers who ask for trouble, and no others", async () => {
  const clock = new FakeClock();
  const bucket = s3Bucket(clients.s3, "kamado");
  const { topic, create, subscribe } = snsHarness(clients);
  const topicArn = await create();
  const [troubles, results] = await Promise.all([
    subscribe(topicArn, { kind: ["kamado.trouble"] }),
    subscribe(topicArn, { kind: ["image.check"] }),
  ]);
  const state = { ...createRig().worker.state(), engine: { answers: true } };
  const dataDir = mkdtempSync(join(tmpdir(), "kamado-trouble-"));
  // At the first start what is there would be no news.
  writeFileSync(
    join(dataDir, "trouble.json"),
    JSON.stringify({ episodes: {}, dead: { jobs: 0, deliveries: 0 } }),
  );
  const settings = { KAMADO_DATA_DIR: dataDir, KAMADO_WORKER_NAME: "mac" };
  const watch = openTrouble(
    {
      config: loadConfig({}, settings),
      cloud: { aws, queueUrl: aws.resources.jobsQueueUrl, ...aws.resources, topicArn },
      sqs: clients.sqs,
      topic,
      bucket,
      destinations: [],
      outbound: createOutbound(),
      clock,
      log: silentLog,
    },
    { state: () => state, askEngine: () => {} },
  );
  watch.start();
  await sqsQueue(clients.sqs, aws.resources.deadQueueUrl).send("{}");
  const off = new DisabledDestinations({ bucket, clock });
  await off.turnOff({ callback: "https://gone.example/hook" }, "410");
  const wanted = troubles.take(2);
  let isThere = false;
  void wanted.then(() => {
    isThere = true;
  });
  await expect
    .poll(
      async () => {
        await clock.advance(30_000);
        return isThere;
      },
      { timeout: 20_000 },
    )
    .toBe(true);
  const messages = (await wanted).map(({ message }) => JSON.parse(message));
  expect(messages.map(({ condition, status, worker }) => [condition, status, worker]).toSorted()).toEqual([
    ["dead_jobs", "begun", "mac"],
    ["destinations_off", "begun", "mac"],
  ]);
  expect(messages.map(({ message }) => message).join()).toContain("callback:https://gone.example/hook");
  await topic.publish(topicArn, "a result", { kind: "image.check" });
  expect((await results.take(1)).map(({ message }) => message)).toEqual(["a result"]);
  await watch.stop();
});
