// No secret leaves the process but for where it is meant to go: every one is a canary, and what a worker says and writes
// through success, failures of every kind and a crash is searched for them.
import { once } from "node:events";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { ListObjectsV2Command } from "@aws-sdk/client-s3";
import { ReceiveMessageCommand } from "@aws-sdk/client-sqs";
import { expect, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { startReceiver } from "../fakes/receiver.ts";
import { kamado, SCRIPTED } from "./process.ts";

const CANARIES = {
  engineToken: "canary-engine-0123456789",
  webToken: "canary-web-0123456789",
  awsSecret: "canary-aws-secret-0123456789",
  awsSession: "canary-aws-session-0123456789",
  header: "canary-header-0123456789",
  signing: Buffer.from("canary-signing-0123456789").toString("base64"),
  oldSigning: Buffer.from("canary-older-0123456789-x").toString("base64"),
};

/** Every secret in a file of its own, as the variables that name them. */
function secretFiles(receiver: string): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), "kamado-canaries-"));
  const file = (name: string, content: string) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  file("signing", `whsec_${CANARIES.signing}`);
  file("older", `whsec_${CANARIES.oldSigning}`);
  file("header", `Bearer ${CANARIES.header}`);
  const destination = {
    match: receiver,
    secretFile: "signing",
    previousSecrets: [{ file: "older" }],
    headers: { authorization: { file: "header" } },
    allowPrivate: true,
  };
  return {
    KAMADO_DESTINATIONS_FILE: file("destinations.json", JSON.stringify([destination])),
    KAMADO_ENGINE_TOKEN_FILE: file("engine", CANARIES.engineToken),
    KAMADO_WEB_TOKEN_FILE: file("web", CANARIES.webToken),
    AWS_ACCESS_KEY_ID: "AKIA",
    AWS_SECRET_ACCESS_KEY_FILE: file("aws-secret", CANARIES.awsSecret),
    AWS_SESSION_TOKEN_FILE: file("aws-session", CANARIES.awsSession),
  };
}

type Scene = {
  aws: LocalAws;
  send(id: string, job: object): Promise<unknown>;
  sendRaw(body: string): Promise<unknown>;
  /** Waits for the results of these jobs, stops the worker, and answers all that it said, stored and put aside. */
  end(ids: string[]): Promise<{ stdout: string; stderr: string; "dead letters": string; objects: string }>;
};

/** A worker of its own on an AWS of its own; two tries of everything. */
async function startScene(variables: Record<string, string>): Promise<Scene> {
  const aws = await startLocalAws({ port: 0 });
  const clients = makeAwsClients(aws);
  const { jobsQueueUrl, deadQueueUrl, deadDeliveriesQueueUrl } = aws.resources;
  const worker = kamado(["worker"], {
    ...SCRIPTED,
    AWS_ENDPOINT_URL: aws.endpoint,
    KAMADO_QUEUE_URL: jobsQueueUrl,
    KAMADO_DELIVERIES_QUEUE_URL: jobsQueueUrl.replace("kamado-jobs", "kamado-deliveries"),
    KAMADO_DELIVERY_DELAYS: "0,1",
    KAMADO_MAX_ATTEMPTS: "2",
    KAMADO_RETRY_SECONDS: "1",
    KAMADO_SLOTS: "4",
    KAMADO_LOG_LEVEL: "debug",
    ...variables,
  });
  const exited = once(worker, "exit");
  const said = Promise.all([text(worker.stdout!), text(worker.stderr!)]);
  onTestFinished(async () => {
    worker.kill("SIGKILL");
    await exited;
    clients.destroy();
    await aws.stop();
  });

  const queue = sqsQueue(clients.sqs, jobsQueueUrl);
  const bucket = s3Bucket(clients.s3, "kamado");
  const stored = async () => {
    const { Contents = [] } = await clients.s3.send(new ListObjectsV2Command({ Bucket: "kamado" }));
    return Contents.map(({ Key }) => Key!);
  };
  // With their attributes, which say why.
  const dead = async (QueueUrl: string) => {
    const options = { MaxNumberOfMessages: 10, WaitTimeSeconds: 5, VisibilityTimeout: 0 };
    const all = new ReceiveMessageCommand({ QueueUrl, ...options, MessageAttributeNames: ["All"] });
    const { Messages = [] } = await clients.sqs.send(all);
    return Messages.map((message) => JSON.stringify(message));
  };
  return {
    aws,
    send: (id, job) => queue.send(JSON.stringify({ id, ...job })),
    sendRaw: (body) => queue.send(body),
    async end(ids) {
      const expected = ids.map((id) => `results/${id}.json`);
      await expect.poll(stored, { timeout: 40_000, interval: 200 }).toEqual(expect.arrayContaining(expected));
      const aside = [...(await dead(deadQueueUrl)), ...(await dead(deadDeliveriesQueueUrl))];
      worker.kill("SIGTERM");
      await exited;
      const [stdout, stderr] = await said;
      const objects = await Promise.all((await stored()).map((key) => bucket.get(key, { maxBytes: 1e6 })));
      return {
        stdout,
        stderr,
        "dead letters": aside.join("\n"),
        objects: objects.map(({ bytes }) => Buffer.from(bytes).toString()).join("\n"),
      };
    },
  };
}

function expectNoneIn(shown: Record<string, string>): void {
  for (const [name, canary] of Object.entries(CANARIES))
    for (const [where, all] of Object.entries(shown))
      expect([name, where, all.includes(canary)]).toEqual([name, where, false]);
}

test("no secret shows in what a worker logs, stores or dead-letters, whatever goes wrong", async () => {
  // A receiver that sends back what it got: the worst a failing service does.
  await using receiver = await startReceiver(({ path, headers, body }, response, request) => {
    if (path === "/breaks") return void request.socket.destroy();
    response.writeHead(path === "/refuses" ? 400 : path === "/fails" ? 500 : 200);
    response.end(JSON.stringify({ headers, body }));
  });
  const script = [
    { when: "please crash", times: 1, do: "crash" },
    { when: "please fail", do: "fail" },
  ];
  const { aws, send, sendRaw, end } = await startScene({
    ...secretFiles(receiver.url),
    KAMADO_SCRIPT: JSON.stringify({ rules: script }),
  });

  const to = (path: string) => [{ callback: `${receiver.url}${path}?token=canary-in-the-query` }];
  const jobs = {
    "goes-well": { prompt: "well", deliver: to("/ok") },
    "is-refused": { prompt: "well", deliver: to("/refuses") },
    "receiver-fails": { prompt: "well", deliver: to("/fails") },
    "receiver-breaks-off": { prompt: "well", deliver: to("/breaks") },
    "no-such-queue": { prompt: "well", deliver: [{ sqs: `${aws.resources.jobsQueueUrl}-none` }] },
    "no-such-topic": { prompt: "well", deliver: [{ sns: `${aws.resources.topicArn}-none` }] },
    "engine-crashes": { prompt: "please crash", deliver: to("/ok") },
    "engine-fails": { prompt: "please fail", deliver: to("/ok") },
  };
  for (const [id, { prompt, deliver }] of Object.entries(jobs))
    await send(id, { kind: "prompt", input: { prompt }, deliver });
  const image = { image: "s3://kamado/in/none.png", question: "?" };
  await send("no-object", { kind: "image.check", input: image, deliver: to("/ok") });
  await sendRaw("{no json");
  const ids = [...Object.keys(jobs), "no-object"];
  const shown = await end(ids);

  // It did go through all of it, and did use its secrets.
  const arrived = receiver.received.find(({ path }) => path.startsWith("/ok"))!;
  expect(arrived.headers).toMatchObject({ authorization: `Bearer ${CANARIES.header}` });
  expect(arrived.headers["webhook-signature"]!.split(" ")).toHaveLength(2);
  expect(shown["dead letters"].split("\n").length).toBeGreaterThanOrEqual(2);
  for (const id of ids) expect(shown.stdout).toContain(id);
  expectNoneIn(shown);
  // An address belongs to its job, and goes where the job goes; a log is read by others.
  expect(shown.stdout + shown.stderr).not.toContain("canary-in-the-query");
}, 90_000);

test("an engine that repeats its token does not get it into results or dead letters", async () => {
  await using engine = await startReceiver(({ path, headers, body }, response) => {
    const told = `you sent ${JSON.stringify(headers)}`;
    if (path === "/health") return void response.end("{}");
    if (path === "/v1/models") {
      const model = { id: "echo", owned_by: headers.authorization };
      return void response.end(JSON.stringify({ data: [model] }));
    }
    if (body.includes("refuse"))
      return void response.writeHead(400).end(JSON.stringify({ error: { message: told } }));
    if (body.includes("fail")) return void response.writeHead(500).end(told);
    response.end(JSON.stringify({ choices: [{ message: { content: told } }] }));
  });
  const { send, end } = await startScene({ ...secretFiles(engine.url), KAMADO_ENGINE_URL: engine.url });
  const ids = ["refuse", "fail", "say"];
  for (const id of ids) await send(id, { kind: "prompt", input: { prompt: `please ${id}` } });
  const shown = await end(ids);
  const sent = engine.received.find(({ path }) => path === "/v1/chat/completions")!;
  expect(sent.headers.authorization).toBe(`Bearer ${CANARIES.engineToken}`);
  // Its words did arrive.
  for (const where of [shown.objects, shown["dead letters"]])
    expect(where.match(/you sent .*?\[secret\]/g)?.length).toBeGreaterThanOrEqual(2);
  expectNoneIn(shown);
}, 90_000);

test("a worker that cannot start says why without the secret it was given", async () => {
  const files = secretFiles("http://127.0.0.1:1/");
  const short = "canary";
  writeFileSync(files.KAMADO_WEB_TOKEN_FILE!, short);
  const worker = kamado(["worker"], { ...SCRIPTED, ...files, KAMADO_QUEUE_URL: "http://127.0.0.1:1/q" });
  const [errors, [code]] = await Promise.all([text(worker.stderr!), once(worker, "exit")]);
  expect({ code, errors }).toEqual({ code: 2, errors: expect.stringContaining("KAMADO_WEB_TOKEN") });
  expect(readFileSync(files.KAMADO_WEB_TOKEN_FILE!, "utf8")).toBe(short);
  expect(errors).not.toContain(short);
});
