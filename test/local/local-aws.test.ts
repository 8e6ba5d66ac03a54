// What the embedded AWS promises beyond the conformance suites: where it listens, who may use it and what it keeps.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request } from "node:http";
import { findPackageJSON } from "node:module";
import { connect } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { GetObjectCommand } from "@aws-sdk/client-s3";
import { ListTopicsCommand, PublishCommand, SubscribeCommand } from "@aws-sdk/client-sns";
import {
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
} from "@aws-sdk/client-sqs";
import { describe, expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { healthOf } from "../../worker/aws/errors.ts";
import { queueArn } from "../../worker/aws/resources.ts";
import { FAUXQS_VERSION } from "../../worker/local/fauxqs.ts";
import { strangerBy } from "../../worker/local/guards.ts";
import { type LocalAws, type LocalAwsOptions, startLocalAws } from "../../worker/local/local-aws.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";

async function start(options: Partial<LocalAwsOptions> = {}): Promise<LocalAws> {
  const aws = await startLocalAws({ port: 0, ...options });
  onTestFinished(() => aws.stop());
  return aws;
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "kamado-local-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function clientsOf(aws: Pick<LocalAws, "endpoint" | "region" | "credentials">) {
  const clients = makeAwsClients(aws);
  onTestFinished(() => clients.destroy());
  return clients;
}

const jobsOf = (aws: LocalAws) => sqsQueue(clientsOf(aws).sqs, aws.resources.jobsQueueUrl);
const portOf = ({ endpoint }: LocalAws) => Number(new URL(endpoint).port);
const TEXT = { contentType: "text/plain" };

test("the installed emulator has the version that worker/local/fauxqs.ts was written for", () => {
  const manifest = JSON.parse(readFileSync(findPackageJSON("fauxqs", import.meta.url)!, "utf8"));
  const advice = `fauxqs changed: compare worker/local/fauxqs.ts and guards.ts with its app.js, persistence.js and sqs/sqsStore.js, then set FAUXQS_VERSION`;
  expect(manifest.version, advice).toBe(FAUXQS_VERSION);
});

describe("after a start", () => {
  test("the queues with their dead-letter queues, the bucket and the topic are there", async () => {
    const aws = await start();
    const { sqs, s3, sns } = clientsOf(aws);
    const attributesOf = async (QueueUrl: string) =>
      (await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["All"] }))).Attributes!;
    const jobs = await attributesOf(aws.resources.jobsQueueUrl);
    expect(jobs).toMatchObject({ QueueArn: queueArn("kamado-jobs"), VisibilityTimeout: "120" });
    expect(JSON.parse(jobs.RedrivePolicy!)).toEqual({
      deadLetterTargetArn: (await attributesOf(aws.resources.deadQueueUrl)).QueueArn,
      maxReceiveCount: 100,
    });
    const deliveries = await attributesOf(aws.resources.deliveriesQueueUrl);
    expect(JSON.parse(deliveries.RedrivePolicy!).deadLetterTargetArn).toBe(
      (await attributesOf(aws.resources.deadDeliveriesQueueUrl)).QueueArn,
    );
    const bucket = s3Bucket(s3, aws.resources.bucket);
    await bucket.put("in/x", "x", TEXT);
    const subscribe = {
      TopicArn: aws.resources.topicArn,
      Protocol: "sqs",
      Endpoint: queueArn("kamado-jobs-dead"),
    };
    await sns.send(new SubscribeCommand({ ...subscribe, Attributes: { RawMessageDelivery: "true" } }));
    await sns.send(new PublishCommand({ TopicArn: aws.resources.topicArn, Message: "a result 🐶" }));
    const inbox = sqsQueue(sqs, aws.resources.deadQueueUrl);
    const [message] = await inbox.receive({ max: 1, waitSeconds: 5, visibilitySeconds: 5 });
    expect(message!.body).toBe("a result 🐶");
  });

  test("a client with another region finds the same queue", async () => {
    const aws = await start();
    await jobsOf(aws).send("here");
    const { sqs } = clientsOf({ ...aws, region: "ap-northeast-1" });
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: "kamado-jobs" }));
    expect(QueueUrl).toBe(aws.resources.jobsQueueUrl);
    expect((await sqs.send(new ReceiveMessageCommand({ QueueUrl }))).Messages).toHaveLength(1);
  });
});

describe("who can reach it", () => {
  const outside = Object.values(networkInterfaces())
    .flat()
    .find((one) => one && !one.internal && one.family === "IPv4");

  test.skipIf(!outside)("only this machine: nothing answers at its address in the network", async () => {
    const aws = await start();
    const socket = connect(portOf(aws), outside!.address);
    const [error] = await once(socket, "error");
    expect(error).toMatchObject({ code: "ECONNREFUSED" });
  });

  test.each([
    ["the SDK", { host: "127.0.0.1:4566" }, null],
    ["a bucket's own name", { host: "kamado.localhost:4566" }, null],
    ["a container on this machine", { host: "host.containers.internal:4566" }, null],
    ["a page of its own", { host: "localhost:4566", origin: "http://localhost:4566" }, null],
    ["a page of another program", { host: "localhost:4566", origin: "http://localhost:4780" }, "page"],
    ["a page of another name", { host: "localhost:4566", origin: "http://evil.localhost:4566" }, "page"],
    ["a page under a bucket's name", { host: "a.localhost:4566", origin: "http://a.localhost:4566" }, "page"],
    ["a page over TLS", { host: "localhost:4566", origin: "https://localhost:4566" }, "page"],
    ["a page from elsewhere", { host: "127.0.0.1:4566", origin: "https://evil.example" }, "page"],
    ["a page without an origin", { host: "127.0.0.1:4566", origin: "null" }, "page"],
    ["a page after DNS rebinding", { host: "evil.example:4566" }, "Host"],
    ["a name that only begins like ours", { host: "localhost.evil.example" }, "Host"],
    ["nobody", {}, "Host"],
  ])("%s", (_, headers, refused) => {
    if (refused === null) expect(strangerBy(headers)).toBeNull();
    else expect(strangerBy(headers)).toContain(refused);
  });

  test("a form from a page elsewhere is refused", async () => {
    const aws = await start();
    const body = new URLSearchParams({ Action: "ListTopics" });
    expect((await fetch(aws.endpoint, { method: "POST", body })).status).toBe(200);
    const headers = { origin: "https://evil.example" };
    expect((await fetch(aws.endpoint, { method: "POST", body, headers })).status).toBe(403);
  });

  test("an object that is a page runs nothing in a browser, and no page shows it in a frame", async () => {
    const aws = await start();
    const bucket = s3Bucket(clientsOf(aws).s3, "kamado");
    await bucket.put("in/x.html", "<script>alert(1)</script>", { contentType: "text/html" });
    const { headers } = await fetch(`${aws.endpoint}/kamado/in/x.html`);
    expect(headers.get("content-security-policy")).toBe(
      "sandbox; default-src 'none'; frame-ancestors 'none'",
    );
    expect([headers.get("x-frame-options"), headers.get("x-content-type-options")]).toEqual([
      "DENY",
      "nosniff",
    ]);
  });

  test("from a container, objects are found under their own names", async () => {
    const aws = await start();
    await s3Bucket(clientsOf(aws).s3, "kamado").put("in/x", "hello", TEXT);
    const headers = { host: `host.containers.internal:${portOf(aws)}` };
    const asked = request(`${aws.endpoint}/kamado/in/x`, { headers }).end();
    const [response] = await once(asked, "response");
    expect((await response.toArray()).join("")).toBe("hello");
  });
});

describe("with a key", () => {
  const key = "a-key-of-some-length";
  const calls = (clients: ReturnType<typeof clientsOf>) => [
    () => clients.sqs.send(new GetQueueUrlCommand({ QueueName: "kamado-jobs" })),
    () => clients.s3.send(new GetObjectCommand({ Bucket: "kamado", Key: "in/x" })),
    () => clients.sns.send(new ListTopicsCommand({})),
  ];

  test("whoever signs with it is served, with the AWS CLI's and the SDK's own means", async () => {
    const aws = await start({ key });
    const own = clientsOf(aws);
    await s3Bucket(own.s3, "kamado").put("in/x", "hello", TEXT);
    for (const call of calls(own)) await expect(call()).resolves.toBeDefined();
    const credentials = { accessKeyId: key, secretAccessKey: "is not compared" };
    for (const call of calls(clientsOf({ ...aws, credentials }))) await expect(call()).resolves.toBeDefined();
    const presigned = `X-Amz-Credential=${key}%2F20260101%2Fus-east-1%2Fs3%2Faws4_request`;
    expect((await fetch(`${aws.endpoint}/kamado/in/x?${presigned}`)).status).toBe(200);
  });

  test.each(["test", "a-key-of-some-lengt", `${key}x`, `x/${key}`])(
    "whoever signs with %s is refused by queue, bucket and topic, and told why",
    async (accessKeyId) => {
      const aws = await start({ key });
      const credentials = { accessKeyId, secretAccessKey: key };
      for (const call of calls(clientsOf({ ...aws, credentials })))
        expect(healthOf(await call().catch((thrown: unknown) => thrown))).toBe("credentials");
      const queue = jobsOf({ ...aws, credentials });
      await expect(queue.send("x")).rejects.toMatchObject({
        message: expect.stringContaining("KAMADO_LOCAL_KEY"),
      });
      const bucket = s3Bucket(clientsOf({ ...aws, credentials }).s3, "kamado");
      await expect(bucket.put("in/x", "x", TEXT)).rejects.toMatchObject({
        code: "storage_unavailable",
        message: expect.stringContaining("KAMADO_LOCAL_KEY"),
      });
    },
  );

  test("whoever does not sign is refused", async () => {
    const aws = await start({ key });
    const body = new URLSearchParams({ Action: "ListTopics" });
    expect((await fetch(aws.endpoint, { method: "POST", body })).status).toBe(403);
    expect((await fetch(`${aws.endpoint}/kamado/in/x`)).status).toBe(403);
    const wrong = "X-Amz-Credential=test%2F20260101%2Fus-east-1%2Fs3%2Faws4_request";
    expect((await fetch(`${aws.endpoint}/kamado/in/x?${wrong}`)).status).toBe(403);
  });
});

test("the group of a message names its tenant, in a queue that is not FIFO, and survives a restart", async () => {
  const dataDir = folder();
  const first = await start({ dataDir });
  const { sqs } = clientsOf(first);
  const QueueUrl = first.resources.jobsQueueUrl;
  await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "alone", MessageGroupId: "acme" }));
  const entry = (Id: string, MessageGroupId?: string) => ({ Id, MessageBody: "the same", MessageGroupId });
  const Entries = [entry("1", "one"), entry("2"), entry("3", "three")];
  await sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
  await first.stop();
  const queue = jobsOf(await start({ dataDir }));
  const messages = await queue.receive({ max: 10, waitSeconds: 1, visibilitySeconds: 30 });
  expect(messages.map(({ body, group, tenant }) => [body, group, tenant])).toEqual([
    ["alone", null, "acme"],
    ["the same", null, "one"],
    ["the same", null, undefined],
    ["the same", null, "three"],
  ]);
});

test("a receive that was given up takes no message", async () => {
  const aws = await start();
  const { sqs } = clientsOf(aws);
  const gone = new AbortController();
  const QueueUrl = aws.resources.jobsQueueUrl;
  const poll = sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 20 }), {
    abortSignal: gone.signal,
  });
  const queue = jobsOf(aws);
  // A round trip on another connection: then the poll has arrived. Another one: then its end has arrived.
  await queue.extend([{ handle: "x", seconds: 1 }]);
  gone.abort();
  await expect(poll).rejects.toThrow();
  await queue.extend([{ handle: "x", seconds: 1 }]);
  await queue.send("for who is left");
  const [message] = await queue.receive({ max: 1, waitSeconds: 5, visibilitySeconds: 5 });
  expect(message!.body).toBe("for who is left");
});

test("a server that stops ends the polls that wait, with what there is, and hides no message", {
  timeout: 15_000,
}, async () => {
  const aws = await start();
  const queue = jobsOf(aws);
  const wait = { max: 10, waitSeconds: 20, visibilitySeconds: 60 };
  const [jobs, outbox] = [
    queue.receive(wait),
    sqsQueue(clientsOf(aws).sqs, aws.resources.deliveriesQueueUrl).receive(wait),
  ];
  // A round trip on another connection: then the polls have arrived.
  await queue.extend([{ handle: "x", seconds: 1 }]);
  aws.endPolls();
  expect(await Promise.all([jobs, outbox])).toEqual([[], []]);
  expect(await queue.receive(wait)).toEqual([]);
  await queue.send("still here");
  expect((await queue.receive(wait)).map(({ body }) => body)).toEqual(["still here"]);
});

describe("data in a folder", () => {
  test("survives a restart, on another port too", async () => {
    const dataDir = folder();
    const first = await startLocalAws({ port: 0, dataDir });
    const { s3 } = clientsOf(first);
    const queue = jobsOf(first);
    await queue.send("held");
    const [held] = await queue.receive({ max: 1, waitSeconds: 1, visibilitySeconds: 60 });
    await queue.send("ready");
    await s3Bucket(s3, "kamado").put("in/x", "hello", TEXT);
    await first.stop();

    const second = await start({ dataDir });
    const { sqs, s3: s3Again } = clientsOf(second);
    const again = jobsOf(second);
    expect(await again.receive({ max: 10, waitSeconds: 1, visibilitySeconds: 60 })).toMatchObject([
      { body: "ready" },
    ]);
    expect(await again.extend([{ handle: held!.handle, seconds: 0 }])).toEqual(["ok"]);
    const [back] = await again.receive({ max: 10, waitSeconds: 1, visibilitySeconds: 60 });
    expect(back).toMatchObject({ id: held!.id, receiveCount: 2 });
    const { bytes } = await s3Bucket(s3Again, "kamado").get("in/x", { maxBytes: 100 });
    expect(Buffer.from(bytes).toString()).toBe("hello");
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: "kamado-jobs" }));
    expect(QueueUrl).toBe(second.resources.jobsQueueUrl);
  });

  test("that cannot be written, as on a full disk, hides no message: each can be received and given back all the time", async () => {
    const dataDir = folder();
    const queue = jobsOf(await start({ dataDir }));
    for (const body of ["a", "b", "c"]) await queue.send(body);
    const take = () => queue.receive({ max: 10, waitSeconds: 1, visibilitySeconds: 3_600 });
    // Whoever holds the write lock makes every write fail at once.
    using other = new DatabaseSync(join(dataDir, "fauxqs.db"));
    other.exec("BEGIN IMMEDIATE");
    for (const _ of [1, 2]) {
      const taken = await take();
      expect(taken.map(({ body }) => body).toSorted()).toEqual(["a", "b", "c"]);
      const handles = taken.map(({ handle }) => handle);
      expect(await queue.remove(handles)).toEqual(["failed", "failed", "failed"]);
      expect(await queue.extend(handles.map((handle) => ({ handle, seconds: 0 })))).toEqual([
        "ok",
        "ok",
        "ok",
      ]);
    }
    await expect(queue.send("d")).rejects.toMatchObject({ code: "queue_unavailable" });
    other.exec("ROLLBACK");
    const handles = (await take()).map(({ handle }) => handle);
    expect(await queue.remove(handles)).toEqual(["ok", "ok", "ok"]);
  }, 60_000);

  test("survives a kill", async () => {
    const dataDir = folder();
    const localAws = new URL("../../worker/local/local-aws.ts", import.meta.url).href;
    const program = `
      const { startLocalAws } = await import(${JSON.stringify(localAws)});
      const { endpoint } = await startLocalAws({ port: 0, dataDir: ${JSON.stringify(dataDir)} });
      console.log(endpoint);`;
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    const [line] = await once(child.stdout!, "data");
    const endpoint = String(line).trim();
    const remote = { endpoint, region: "us-east-1", credentials: { accessKeyId: "a", secretAccessKey: "b" } };
    const { sqs, s3 } = clientsOf(remote);
    const queue = sqsQueue(sqs, `${endpoint}/000000000000/kamado-jobs`);
    const ids = await Promise.all(Array.from({ length: 12 }, (_, index) => queue.send(`job ${index}`)));
    await s3Bucket(s3, "kamado").put("in/x", "hello", TEXT);
    const [done] = await queue.receive({ max: 1, waitSeconds: 1, visibilitySeconds: 60 });
    expect(await queue.remove([done!.handle])).toEqual(["ok"]);
    child.kill("SIGKILL");
    await once(child, "exit");

    const after = await start({ dataDir });
    const again = jobsOf(after);
    const batch = () => again.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 60 });
    const left = [...(await batch()), ...(await batch())].map(({ id }) => id);
    expect(left.toSorted()).toEqual(ids.filter((id) => id !== done!.id).toSorted());
    expect(await s3Bucket(clientsOf(after).s3, "kamado").exists("in/x")).toBe(true);
  });

  test("belongs to one process at a time", async () => {
    const dataDir = folder();
    const first = await start({ dataDir });
    const error = { code: "config_invalid", message: expect.stringContaining(dataDir) };
    await expect(startLocalAws({ port: 0, dataDir })).rejects.toMatchObject(error);
    await first.stop();
    await start({ dataDir });
  });
});

describe("starting and stopping", () => {
  test("a port that is taken is reported with what to do, and the folder stays free", async () => {
    const dataDir = folder();
    const first = await start();
    const second = startLocalAws({ port: portOf(first), dataDir });
    const message = expect.stringMatching(/KAMADO_LOCAL_PORT.*Stop what listens.*set KAMADO_LOCAL_PORT/);
    await expect(second).rejects.toMatchObject({ code: "config_invalid", message });
    await start({ dataDir });
  });

  test("stopping ends open polls and frees the port, and may be done twice", async () => {
    const first = await start();
    const queue = jobsOf(first);
    const poll = queue.receive({ max: 1, waitSeconds: 20, visibilitySeconds: 5 });
    poll.catch(() => {});
    await queue.extend([{ handle: "x", seconds: 1 }]);
    await Promise.all([first.stop(), first.stop()]);
    await poll.catch(() => {});
    await start({ port: portOf(first) });
  });
});
