// No secret appears where it does not belong. The tests search everything that a worker prints, stores and dead-letters, through
// success, failures of every kind and a crash.
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

const SECRETS = {
  engineToken: "canary-engine-0123456789",
  webToken: "canary-web-0123456789",
  awsSecret: "canary-aws-secret-0123456789",
  awsSession: "canary-aws-session-0123456789",
  header: "canary-header-0123456789",
  signing: Buffer.from("canary-signing-0123456789").toString("base64"),
  oldSigning: Buffer.from("canary-older-0123456789-x").toString("base64"),
};

/** Writes each secret to a file of its own. Returns the variables that name these files. */
function secretFiles(receiver: string): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), "kamado-secrets-"));
  const file = (name: string, content: string) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  file("signing", `whsec_${SECRETS.signing}`);
  file("older", `whsec_${SECRETS.oldSigning}`);
  file("header", `Bearer ${SECRETS.header}`);
  const destination = {
    match: receiver,
    secretFile: "signing",
    previousSecrets: [{ file: "older" }],
    headers: { authorization: { file: "header" } },
    allowPrivate: true,
  };
  return {
    KAMADO_DESTINATIONS_FILE: file("destinations.json", JSON.stringify([destination])),
    KAMADO_ENGINE_TOKEN_FILE: file("engine", SECRETS.engineToken),
    KAMADO_WEB_TOKEN_FILE: file("web", SECRETS.webToken),
    AWS_ACCESS_KEY_ID: "AKIA",
    AWS_SECRET_ACCESS_KEY_FILE: file("aws-secret", SECRETS.awsSecret),
    AWS_SESSION_TOKEN_FILE: file("aws-session", SECRETS.awsSession),
  };
}

type Run = {
  aws: LocalAws;
  send(id: string, job: object): Promise<unknown>;
  sendRaw(body: string): Promise<unknown>;
  /** Waits for the results of these jobs, stops the worker and returns all that it printed, stored and dead-lettered. */
  end(ids: string[]): Promise<{ stdout: string; stderr: string; "dead letters": string; objects: string }>;
};

/** Starts a worker on an AWS of its own. It tries everything twice. */
async function startRun(variables: Record<string, string>): Promise<Run> {
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
  const output = Promise.all([text(worker.stdout!), text(worker.stderr!)]);
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
  // With their attributes, which contain the reason.
  const dead = async (QueueUrl: string) => {
    const options = { MaxNumberOfMessages: 10, VisibilityTimeout: 0 };
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
      await expect.poll(stored, { timeout: 80_000, interval: 200 }).toEqual(expect.arrayContaining(expected));
      // It finishes what it has begun: then all its dead letters are there.
      worker.kill("SIGTERM");
      await exited;
      const [stdout, stderr] = await output;
      const deadLetters = [...(await dead(deadQueueUrl)), ...(await dead(deadDeliveriesQueueUrl))];
      const objects = await Promise.all((await stored()).map((key) => bucket.get(key, { maxBytes: 1e6 })));
      return {
        stdout,
        stderr,
        "dead letters": deadLetters.join("\n"),
        objects: objects.map(({ bytes }) => Buffer.from(bytes).toString()).join("\n"),
      };
    },
  };
}

function expectNoneIn(shown: Record<string, string>): void {
  for (const [name, secret] of Object.entries(SECRETS))
    for (const [where, all] of Object.entries(shown))
      expect([name, where, all.includes(secret)]).toEqual([name, where, false]);
}

test("no secret appears in what a worker prints, stores or dead-letters, whatever goes wrong", async () => {
  // The receiver sends back what it received, which is the worst that a failing service can do.
  await using receiver = await startReceiver(({ path, headers, body }, response, request) => {
    if (path === "/breaks") return void request.socket.destroy();
    response.writeHead(path === "/refuses" ? 400 : path === "/fails" ? 500 : 200);
    response.end(JSON.stringify({ headers, body }));
  });
  const script = [
    { when: "please crash", times: 1, do: "crash" },
    { when: "please fail", do: "fail" },
  ];
  const { aws, send, sendRaw, end } = await startRun({
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

  // The worker did all of it, and did use its secrets.
  const arrived = receiver.received.find(({ path }) => path.startsWith("/ok"))!;
  expect(arrived.headers).toMatchObject({ authorization: `Bearer ${SECRETS.header}` });
  expect(arrived.headers["webhook-signature"]!.split(" ")).toHaveLength(2);
  expect(shown["dead letters"].split("\n").length).toBeGreaterThanOrEqual(2);
  for (const id of ids) expect(shown.stdout).toContain(id);
  expectNoneIn(shown);
  // An address belongs to its job and may appear in the job's result. Others read the log.
  expect(shown.stdout + shown.stderr).not.toContain("canary-in-the-query");
}, 150_000);

test("an engine that repeats the token it was sent does not get it into results and dead letters", async () => {
  await using engine = await startReceiver(({ path, headers, body }, response) => {
    const echo = `you sent ${JSON.stringify(headers)}`;
    if (path === "/health") return void response.end("{}");
    if (path === "/v1/models") {
      const model = { id: "echo", owned_by: headers.authorization };
      return void response.end(JSON.stringify({ data: [model] }));
    }
    if (body.includes("refuse"))
      return void response.writeHead(400).end(JSON.stringify({ error: { message: echo } }));
    if (body.includes("fail")) return void response.writeHead(500).end(echo);
    response.end(JSON.stringify({ choices: [{ message: { content: echo } }] }));
  });
  const { send, end } = await startRun({ ...secretFiles(engine.url), KAMADO_ENGINE_URL: engine.url });
  const ids = ["refuse", "fail", "say"];
  for (const id of ids) await send(id, { kind: "prompt", input: { prompt: `please ${id}` } });
  const shown = await end(ids);
  const sent = engine.received.find(({ path }) => path === "/v1/chat/completions")!;
  expect(sent.headers.authorization).toBe(`Bearer ${SECRETS.engineToken}`);
  // The engine's message did arrive.
  for (const where of [shown.objects, shown["dead letters"]])
    expect(where.match(/you sent .*?\[secret\]/g)?.length).toBeGreaterThanOrEqual(2);
  expectNoneIn(shown);
}, 150_000);

test("a worker that cannot start says why without the secret it was given", async () => {
  const files = secretFiles("http://127.0.0.1:1/");
  const tooShort = "canary";
  writeFileSync(files.KAMADO_WEB_TOKEN_FILE!, tooShort);
  const worker = kamado(["worker"], { ...SCRIPTED, ...files, KAMADO_QUEUE_URL: "http://127.0.0.1:1/q" });
  const [errors, [code]] = await Promise.all([text(worker.stderr!), once(worker, "exit")]);
  expect({ code, errors }).toEqual({ code: 2, errors: expect.stringContaining("KAMADO_WEB_TOKEN") });
  expect(readFileSync(files.KAMADO_WEB_TOKEN_FILE!, "utf8")).toBe(tooShort);
  expect(errors).not.toContain(tooShort);
});
