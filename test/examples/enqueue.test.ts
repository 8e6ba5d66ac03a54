// The examples under examples/enqueue/ send jobs that a worker takes, on the embedded AWS where they speak to AWS.
import { execFile, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { CreateQueueCommand } from "@aws-sdk/client-sqs";
import { Template } from "@huggingface/jinja";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { parse as parseYaml } from "yaml";
import imageCheck from "../../handlers/image-check.ts";
import { type AwsClients, makeAwsClients } from "../../worker/aws/clients.ts";
import { secret } from "../../worker/config/secret.ts";
import { webhookHeaders } from "../../worker/deliver/callback.ts";
import { parseBody } from "../../worker/job/envelope.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { createResults } from "../../worker/storage/results.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { EMULATORS, pythonOf, whyNot } from "../emulators/emulators.ts";

const examples = join(import.meta.dirname, "../../examples/enqueue");
const run = promisify(execFile);

let aws: LocalAws;
let clients: AwsClients;
let queueUrl: string;
let serial = 0;
beforeAll(async () => {
  aws = await startLocalAws({ port: 0 });
  clients = makeAwsClients(aws);
});
afterAll(async () => {
  clients.destroy();
  await aws.stop();
});
beforeEach(async () => {
  const { QueueUrl } = await clients.sqs.send(new CreateQueueCommand({ QueueName: `examples-${++serial}` }));
  queueUrl = QueueUrl!;
});

/** What the examples read, and nothing of whoever runs the tests. */
const variables = () => ({
  PATH: process.env.PATH!,
  HOME: tmpdir(),
  AWS_ENDPOINT_URL: aws.endpoint,
  AWS_REGION: aws.region,
  AWS_DEFAULT_REGION: aws.region,
  AWS_ACCESS_KEY_ID: aws.credentials.accessKeyId,
  AWS_SECRET_ACCESS_KEY: aws.credentials.secretAccessKey,
  AWS_EC2_METADATA_DISABLED: "true",
  QUEUE_URL: queueUrl,
  TOPIC_ARN: aws.resources.topicArn,
});

async function received(): Promise<string[]> {
  const queue = sqsQueue(clients.sqs, queueUrl);
  const messages = await queue.receive({ max: 10, waitSeconds: 5, visibilitySeconds: 60 });
  return messages.map(({ body }) => body);
}

function pictureIn(): string {
  const folder = mkdtempSync(join(tmpdir(), "enqueue-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, "door.jpg");
  writeFileSync(path, "picture");
  return path;
}

function jobOf(body: string) {
  const parsed = parseBody(body, { messageId: "m1", rules: [] });
  if (parsed.is !== "job") throw new Error(`not a job: ${JSON.stringify(parsed)}`);
  return { ...parsed.job, input: imageCheck.input.parse(parsed.job.input) };
}

test("the shell script sends a job, whatever is in the question", () => {
  const folder = mkdtempSync(join(tmpdir(), "enqueue-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  // An aws that keeps the last argument it was called with, which is the message's body.
  const fake = `#!/bin/sh\nfor last in "$@"; do :; done\nprintf '%s' "$last" > "${join(folder, "sent")}"\n`;
  writeFileSync(join(folder, "aws"), fake, { mode: 0o755 });
  const question = 'Is the "front" door\nlocked \\ bolted? 🚪';
  execFileSync("sh", [join(examples, "aws-cli.sh"), "/some where/door.jpg", question], {
    env: { PATH: `${folder}:${process.env.PATH}` },
  });
  const job = jobOf(readFileSync(join(folder, "sent"), "utf8"));
  expect(job).toMatchObject({
    kind: "image.check",
    input: { question: 'Is the "front" door locked \\ bolted? 🚪' },
    deliver: [{ sns: "arn:aws:sns:us-east-1:000000000000:kamado-results" }],
  });
  expect(job.input.image).toMatch(/^s3:\/\/kamado\/in\/.+-door\.jpg$/);
});

const UPLOAD = {
  bucket: { name: "kamado" },
  object: { key: "in/a+b%20%E5%86%99.jpg", sequencer: "0055AED6DC" },
};
const event = JSON.stringify({ Records: [{ s3: UPLOAD }] });

function expectOneJobTwice(bodies: readonly string[]): void {
  const [first, second] = bodies.map(jobOf);
  expect(first).toMatchObject({
    kind: "image.check",
    input: { image: "s3://kamado/in/a b 写.jpg", question: "Is there a person in the picture?" },
    deliver: [{ sns: aws.resources.topicArn }],
  });
  expect(second).toEqual(first);
}

test("the Lambda sends a job for each picture, the same for an event that comes twice; what is not sent makes it fail", async () => {
  for (const [name, value] of Object.entries(variables())) vi.stubEnv(name, value);
  onTestFinished(() => void vi.unstubAllEnvs());
  const { handler } = await import(join(examples, "lambda/index.mjs"));
  for (const _ of [1, 2]) await handler(JSON.parse(event));
  expectOneJobTwice(await received());
  // A sequencer that no id can hold.
  const wrong = { Records: [{ s3: { ...UPLOAD, object: { key: "a", sequencer: "?" } } }] };
  await expect(handler(wrong)).rejects.toMatchObject({ code: "invalid_input" });
});

test("the Lambda behind a function URL takes what Kamado signed, and refuses the rest with 401", async () => {
  const SECRET = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;
  vi.stubEnv("HOOK_SECRET", SECRET);
  const logged = vi.spyOn(console, "log").mockImplementation(() => {});
  onTestFinished(() => {
    vi.unstubAllEnvs();
    logged.mockRestore();
  });
  const { handler } = await import(join(examples, "lambda/callback.mjs"));
  const data = { id: "j1", kind: "image.check", status: "succeeded", output: { answer: "y" } };
  const body = JSON.stringify({ type: "job.succeeded", data });
  const headers = webhookHeaders({ id: "m1", at: Date.now(), body, secrets: [secret(SECRET)] });
  const encoded = Buffer.from(body).toString("base64");
  expect(await handler({ headers, body: encoded, isBase64Encoded: true })).toEqual({ statusCode: 204 });
  expect(JSON.parse(logged.mock.calls[0]![0])).toMatchObject({
    id: "m1",
    job: "j1",
    output: { answer: "y" },
  });
  const refused = await handler({ headers, body: body.replace('"y"', '"n"') });
  expect(refused).toEqual({ statusCode: 401, body: expect.stringContaining("signature_invalid") });
});

// As the script will find it.
const noCli = await run("aws", ["--version"], { env: { PATH: process.env.PATH, HOME: tmpdir() } }).then(
  () => "",
  () => "there is no AWS CLI on this machine",
);
describe.skipIf(noCli)(`with the AWS CLI${noCli && ` [${noCli}]`}`, () => {
  test("the shell script uploads the picture and sends the job", async () => {
    await run("sh", [join(examples, "aws-cli.sh"), pictureIn(), "Is the door locked?"], { env: variables() });
    const [body = ""] = await received();
    const { image } = jobOf(body).input;
    const { bytes } = await s3Bucket(clients.s3, "kamado").get(image.replace("s3://kamado/", ""), {
      maxBytes: 100,
    });
    expect(Buffer.from(bytes).toString()).toBe("picture");
  });
});

const noPython = whyNot(EMULATORS.moto) ?? "";
describe.skipIf(noPython)(`with boto3${noPython && ` [${noPython}]`}`, () => {
  const python = pythonOf(EMULATORS.moto);

  test("the Lambda in Python sends a job for each picture, the same for an event that comes twice", async () => {
    const call =
      "import json, sys, lambda_function as f; e = json.loads(sys.argv[1]); f.lambda_handler(e, None); print(f.lambda_handler(e, None))";
    const cwd = join(examples, "lambda-python");
    const env = { ...variables(), PYTHONDONTWRITEBYTECODE: "1" };
    await run(python, ["-c", call, event], { cwd, env });
    expectOneJobTwice(await received());
  });

  test("the script in Python uploads the picture, sends the job, and prints the answer when it is there", async () => {
    const script = run(python, [join(examples, "enqueue.py"), pictureIn(), "Is the door locked?"], {
      env: variables(),
    });
    const [body = ""] = await received();
    const { id, kind, input } = jobOf(body);
    const bucket = s3Bucket(clients.s3, "kamado");
    expect(await bucket.exists(input.image.replace("s3://kamado/", ""))).toBe(true);
    const receipt = { attempts: 1 } as never;
    await createResults(bucket).store({ id, kind, status: "succeeded", output: { answer: "y" }, receipt });
    expect(JSON.parse((await script).stdout)).toEqual({ answer: "y" });
  });
});

/** What infra/template.yaml has API Gateway do with POST /v1/jobs: the body becomes a message, as it is. */
async function startApi() {
  const requests: { method: string; url: string; headers: IncomingHttpHeaders; body: string }[] = [];
  const server = createServer(async (request, response) => {
    const body = await text(request);
    requests.push({ method: request.method!, url: request.url!, headers: request.headers, body });
    const { messageId } = JSON.parse(body).kind
      ? { messageId: await sqsQueue(clients.sqs, queueUrl).send(body) }
      : {};
    response.writeHead(messageId ? 202 : 400).end(JSON.stringify({ id: messageId }));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return { requests, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/jobs` };
}

const JOB =
  '{"kind": "image.check", "input": {"image": "s3://kamado/in/a b.jpg", "question": "Is it \\"locked\\"? 🚪"}}';

test.each([
  ["with keys", { AWS_SESSION_TOKEN: "" }],
  ["with keys of a session", { AWS_SESSION_TOKEN: "session/+=" }],
])(
  "the REST script signs its request for API Gateway %s, and no argument shows a secret",
  async (_, more) => {
    const api = await startApi();
    const env = {
      ...variables(),
      AWS_SECRET_ACCESS_KEY: "se/cr+et",
      AWS_REGION: "eu-west-1",
      JOBS_API_URL: api.url,
      ...more,
    };
    const { stdout } = await run("sh", [join(examples, "rest.sh"), JOB], { env });
    const [{ method, url, headers, body } = {} as never] = api.requests;
    expect([method, url, headers["content-type"], body]).toEqual([
      "POST",
      "/v1/jobs",
      "application/json",
      JOB,
    ]);
    expect(headers.authorization).toMatch(
      /^AWS4-HMAC-SHA256 Credential=[^/]+\/\d{8}\/eu-west-1\/execute-api\/aws4_request, ?SignedHeaders=[\w;-]*x-amz-date[\w;-]*, ?Signature=[\da-f]{64}$/,
    );
    expect(headers["x-amz-security-token"] ?? "").toBe(more.AWS_SESSION_TOKEN);
    expect(JSON.parse(stdout)).toEqual({ id: expect.any(String) });
    const [sent = ""] = await received();
    expect(jobOf(sent).input.question).toBe('Is it "locked"? 🚪');
    expect(readFileSync(join(examples, "rest.sh"), "utf8")).not.toMatch(/--user|-u "/);
  },
);

test("the REST script sends a token where the API takes those of Cognito, and fails with what the API answers", async () => {
  const api = await startApi();
  const env = { PATH: process.env.PATH, JOBS_API_URL: api.url, JOBS_API_TOKEN: "eyJ.a.b" };
  await run("sh", [join(examples, "rest.sh"), JOB], { env });
  expect(api.requests[0]!.headers.authorization).toBe("eyJ.a.b");
  const wrong = await run("sh", [join(examples, "rest.sh"), "{}"], { env }).catch((error) => error);
  expect([wrong.code, wrong.stderr]).toEqual([22, expect.stringContaining("400")]);
});

describe("the package for Home Assistant", () => {
  type Action = { action: string; data?: Record<string, unknown>; response_variable?: string };
  const path = join(examples, "home-assistant/kamado.yaml");
  // `!secret` is Home Assistant's own.
  const tag = { tag: "!secret", resolve: (name: string) => `secret:${name}` };
  const home = parseYaml(readFileSync(path, "utf8"), { customTags: [tag] });
  const [ask, answered] = home.automation;
  const render = (template: unknown, values: object): string =>
    new Template(String(template).replaceAll("to_json", "tojson")).render({
      state_attr: (_: string, name: string) => `/api/camera_proxy/camera.front_door?token=${name}`,
      ...values,
    });
  const rendered = (value: unknown, values: object): unknown => {
    if (typeof value === "string") return render(value, values);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, rendered(one, values)]));
  };
  const [tokenCall, enqueueCall] = ask.actions as [Action, Action];
  const answer = { content: { access_token: "eyJ.a.b" } };
  const data = rendered(enqueueCall.data, { [tokenCall.response_variable!]: answer }) as Record<
    string,
    string
  >;

  test("gets a token with the client's credentials, and sends a job that a worker takes", () => {
    const { kamado_token: token, kamado_enqueue: enqueue } = home.rest_command;
    expect([tokenCall.action, enqueueCall.action]).toEqual([
      "rest_command.kamado_token",
      "rest_command.kamado_enqueue",
    ]);
    expect([token.method, token.content_type]).toEqual(["post", "application/x-www-form-urlencoded"]);
    expect(new URLSearchParams(token.payload).get("grant_type")).toBe("client_credentials");
    expect([enqueue.url, enqueue.method, enqueue.content_type]).toEqual([
      "secret:kamado_jobs_url",
      "post",
      "application/json",
    ]);
    expect(rendered(enqueue.headers, data)).toEqual({ authorization: "eyJ.a.b" });
    const job = jobOf(render(enqueue.payload, data));
    expect(job).toMatchObject({
      kind: "image.check",
      input: {
        image: "http://homeassistant.local:8123/api/camera_proxy/camera.front_door?token=entity_picture",
        question: "Is the thumb-turn of the door locked?",
      },
    });
    const [trigger] = answered.triggers;
    expect(job.deliver).toEqual([
      { callback: `http://homeassistant.local:8123/api/webhook/${trigger.webhook_id}` },
    ]);
    expect(trigger).toMatchObject({ trigger: "webhook", allowed_methods: ["POST"], local_only: true });
  });

  test.each([
    [{ status: "succeeded", output: { answer: "y", probability: 0.98 } }, undefined],
    [{ status: "succeeded", output: { answer: "n", probability: 0.04 } }, "Locked: n (0.04)"],
    [{ status: "succeeded", output: { answer: "uncertain", probability: 0.5 } }, "Locked: uncertain (0.5)"],
    [{ status: "failed", error: { code: "fetch_failed", message: "no answer" } }, "fetch_failed: no answer"],
  ])("tells of a result unless the door is locked: %j", (result, told) => {
    const trigger = {
      json: { type: `job.${result.status}`, data: { id: "j1", kind: "image.check", ...result } },
    };
    const [{ choose }] = answered.actions;
    const chosen = choose.find(
      (one: { conditions: string }) => render(one.conditions, { trigger }) === "true",
    );
    const message = chosen?.sequence[0].data.message.replace("| round(2) ", "");
    expect(message && render(message, { trigger })).toBe(told);
  });
});

test("every file that the page on ways to send a job names exists", () => {
  const page = readFileSync(join(examples, "README.md"), "utf8");
  const named = [...page.matchAll(/\]\(([^)#]+)/g)].map(([, path]) => join(examples, path!));
  expect(named.length).toBeGreaterThan(8);
  for (const path of named) expect(() => readFileSync(path), path).not.toThrow();
});
