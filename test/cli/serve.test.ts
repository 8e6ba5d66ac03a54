// `kamado serve` as a person or another program uses it: a process, its addresses, any SQS client, signals. Needs only the
// embedded AWS; the engine answers from a script.
import { once } from "node:events";
import { mkdtemp } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { GetObjectCommand, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { SNSClient, SubscribeCommand } from "@aws-sdk/client-sns";
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import sharp from "sharp";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Result } from "../../worker/job/result.ts";
import { kamado, refused, runKamado, SCRIPTED } from "./process.ts";

const DEMO = join(import.meta.dirname, "../../models/demo/kamado-demo.gguf");

type Addresses = { endpoint: string; queue: string; bucket: string; topic: string; web: string };

async function serve(variables: Record<string, string> = {}) {
  const child = kamado(["serve", "--in-memory", "--json"], { ...SCRIPTED, ...variables }, { until: "file" });
  let errors = "";
  child.stderr!.setEncoding("utf8").on("data", (text) => (errors += text));
  const exited = once(child, "exit");
  const line = await Promise.race([
    once(createInterface(child.stdout!), "line"),
    exited.then(() => Promise.reject(new Error(errors))),
  ]);
  const addresses = JSON.parse(String(line[0])) as Addresses;
  const aws = {
    endpoint: addresses.endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "any", secretAccessKey: "thing" },
  };
  return {
    child,
    addresses,
    exited,
    errors: () => errors,
    sqs: new SQSClient(aws),
    s3: new S3Client({ ...aws, forcePathStyle: true }),
    sns: new SNSClient(aws),
  };
}
type Served = Awaited<ReturnType<typeof serve>>;

/** A command that ends by itself: what it printed, and its exit code. */
async function ended(args: string[], variables: Record<string, string>) {
  const child = kamado(args, { ...SCRIPTED, ...variables }, { until: "file" });
  const [output, errors, [code]] = await Promise.all([
    text(child.stdout!),
    text(child.stderr!),
    once(child, "exit"),
  ]);
  return { output, errors, code };
}

describe("a model that can never work", () => {
  const model = { KAMADO_BACKEND: "auto", KAMADO_SCRIPT: "" };
  test.each([
    ["that does not exist", { KAMADO_MODEL: "/no/such.gguf" }, "KAMADO_MODEL: /no/such.gguf does not exist."],
    ["that is no model", { KAMADO_MODEL: import.meta.filename }, "is not a GGUF file"],
    [
      "whose projector does not exist",
      { KAMADO_MODEL: DEMO, KAMADO_MMPROJ: "/no" },
      "KAMADO_MMPROJ: /no does not exist.",
    ],
  ])("%s ends serve with the reason, and nothing says that it runs", async (_, variables, reason) => {
    const { out, errors, code } = await refused(["serve", "--in-memory"], {
      ...SCRIPTED,
      ...model,
      ...variables,
    });
    expect([out, code]).toEqual(["", 2]);
    expect(errors).toContain(`kamado: config_invalid: `);
    expect(errors).toContain(reason);
  });
  test("that the engine refuses while it loads ends serve without another try, and is said once", async () => {
    const { output, errors, code } = await ended(["serve", "--in-memory"], { KAMADO_SCRIPT: "wait=5,foo=2" });
    expect([output, code]).toEqual([expect.stringContaining("Kamado is starting"), 2]);
    expect(output).not.toContain("running");
    expect(errors.split("there is no setting foo")).toHaveLength(2);
    expect(errors).toContain("Correct the setting");
  }, 120_000);
  test("that fails to load later ends serve too, after an orderly stop, and nothing says that it runs", async () => {
    const { output, errors, code } = await ended(["serve", "--in-memory"], {
      KAMADO_SCRIPT: JSON.stringify({ loadFails: "no kernel for this type" }),
    });
    expect(code).toBe(3);
    expect(output).not.toContain("running");
    expect(errors).toContain("The engine does not run: no kernel for this type");
  }, 120_000);
});

test.each([
  ["rules", "KAMADO_RULES_FILE"],
  ["destinations", "KAMADO_DESTINATIONS_FILE"],
])("a file of %s that is wrong ends serve before an engine is started", async (_, variable) => {
  const { out, errors, code } = await refused(["serve", "--in-memory"], {
    ...SCRIPTED,
    KAMADO_LOG_LEVEL: "info",
    [variable]: import.meta.filename,
  });
  expect([out, code]).toEqual(["", 2]);
  expect(errors).toContain(`config_invalid: ${variable} `);
  expect(errors).not.toContain(`"stage":"engine"`);
});

test("while the engine does not answer, /health, the page, status and --wait say why, and serve does not say that it runs", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "kamado-"));
  const { child, addresses } = await serve({
    KAMADO_ENGINE_URL: "http://127.0.0.1:1",
    KAMADO_DATA_DIR: dataDir,
  });
  const health = async () => (await fetch(`${addresses.web}/health`)).json();
  await expect
    .poll(health, { timeout: 30_000 })
    .toMatchObject({ engineError: { code: "engine_unavailable" } });
  const { engineError } = await health();
  expect(engineError).toMatchObject({ message: expect.any(String), hint: expect.any(String) });
  expect(await health()).toMatchObject({ status: "UNHEALTHY", engine: false });
  const page = await (await fetch(addresses.web)).text();
  expect(page.includes("<code>engine_unavailable</code>")).toBe(true);
  const here = { KAMADO_DATA_DIR: dataDir };
  const enqueue = ["enqueue", "prompt", "--input", "-", "--wait", "1"];
  const [waited, status] = await Promise.all([
    runKamado(enqueue, here, { input: '{"prompt": "x"}' }),
    runKamado(["status"], here),
  ]);
  expect(waited.errors).toMatch(/the job waits, because the engine is not ready: engine_unavailable: /);
  expect([waited.code, status.code]).toEqual([3, 1]);
  expect(status.out).toContain("engine_unavailable");
  child.kill("SIGTERM");
}, 120_000);

async function subscriber({ sqs, sns, addresses }: Served) {
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: "listens" }));
  const { Attributes } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] }),
  );
  await sns.send(
    new SubscribeCommand({
      TopicArn: addresses.topic,
      Protocol: "sqs",
      Endpoint: Attributes!.QueueArn!,
      Attributes: { RawMessageDelivery: "true" },
    }),
  );
  const results = new Map<string, Result>();
  return async (id: string): Promise<Result> => {
    for (const end = Date.now() + 60_000; Date.now() < end && !results.has(id); ) {
      const { Messages = [] } = await sqs.send(
        new ReceiveMessageCommand({
          QueueUrl,
          MaxNumberOfMessages: 10,
          WaitTimeSeconds: 2,
          VisibilityTimeout: 600,
        }),
      );
      for (const { Body } of Messages) {
        const result = JSON.parse(Body!) as Result;
        results.set(result.id, result);
      }
    }
    const found = results.get(id);
    if (!found) throw new Error(`no result of ${id} came over the topic`);
    return found;
  };
}

describe("a served Kamado", { timeout: 120_000 }, () => {
  let served: Served;
  let resultOf: (id: string) => Promise<Result>;
  const send = (body: unknown) =>
    served.sqs.send(
      new SendMessageCommand({
        QueueUrl: served.addresses.queue,
        MessageBody: typeof body === "string" ? body : JSON.stringify(body),
      }),
    );
  const put = (Key: string, Body: Uint8Array | string) =>
    served.s3.send(new PutObjectCommand({ Bucket: served.addresses.bucket, Key, Body }));

  beforeAll(async () => {
    served = await serve();
    resultOf = await subscriber(served);
    await put("in/huge.jpg", new Uint8Array(50_000_000));
    await put("in/letter.jpg", "Dear Sir or Madam,\nthis is a letter.\n");
    await put("in/novel.txt", "It was a dark night. ".repeat(600_000));
  }, 120_000);
  afterAll(async () => {
    served?.child.kill("SIGTERM");
    await served?.exited;
  });

  test("prints its addresses", () => {
    expect(served.addresses).toMatchObject({
      endpoint: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      queue: expect.stringMatching(/kamado-jobs$/),
      bucket: "kamado",
      topic: expect.stringMatching(/kamado-results$/),
      web: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
    });
  });

  test("takes a job from any SQS client, stores its result and publishes it to the topic", async () => {
    await send({ id: "hello", kind: "prompt", input: { prompt: "Say something" } });
    const result = await resultOf("hello");
    expect(result).toMatchObject({
      id: "hello",
      kind: "prompt",
      status: "succeeded",
      output: { text: expect.any(String) },
      receipt: { attempts: 1, completionTokens: expect.any(Number) },
    });
    const stored = await served.s3.send(
      new GetObjectCommand({ Bucket: "kamado", Key: "results/hello.json" }),
    );
    const { jobHash: _, ...kept } = JSON.parse(await stored.Body!.transformToString());
    expect(kept).toEqual(result);
  });

  test.each([
    ["an unknown kind", { kind: "todo.mtach", input: {} }, "unknown_kind", "todo.match"],
    [
      "bad input",
      { kind: "image.check", input: { image: "s3://kamado/x.png", question: "" } },
      "invalid_input",
      "question",
    ],
    [
      "an object that is missing",
      { kind: "image.check", input: { image: "s3://kamado/in/none.png", question: "?" } },
      "object_not_found",
      "in/none.png",
    ],
    [
      "a bucket that is not allowed",
      { kind: "image.check", input: { image: "s3://other-bucket/in/none.png", question: "?" } },
      "object_forbidden",
      "other-bucket",
    ],
    [
      "the result of another job",
      { kind: "image.check", input: { image: "s3://kamado/results/hello.json", question: "?" } },
      "object_forbidden",
      "s3://kamado/in/",
    ],
    [
      "an object whose key is no text",
      { kind: "image.check", input: { image: "s3://kamado/in/\ud800", question: "?" } },
      "object_not_found",
      "in/\ufffd",
    ],
    [
      "a picture of 50 MB",
      { kind: "image.check", input: { image: "s3://kamado/in/huge.jpg", question: "?" } },
      "input_too_large",
      "",
    ],
    [
      "a text file named .jpg",
      { kind: "image.check", input: { image: "s3://kamado/in/letter.jpg", question: "?" } },
      "image_undecodable",
      "text",
    ],
    [
      "a picture at an address in the home network",
      { kind: "image.check", input: { image: "http://169.254.169.254/latest/meta-data", question: "?" } },
      "address_refused",
      "",
    ],
    [
      "an article that is too long",
      { kind: "article.extract", input: { s3: "s3://kamado/in/novel.txt" } },
      "input_too_large",
      "",
    ],
  ])(
    "answers %s with a failed result, and continues",
    async (name, job, code, words) => {
      const id = name.replaceAll(/[^a-z0-9]+/gi, "-");
      await send({ id, ...job });
      const { status, error } = await resultOf(id);
      expect({ status, code: error?.code }).toEqual({ status: "failed", code });
      expect(error?.message).toContain(words);
      expect(error?.hint).toBeTruthy();
    },
    120_000,
  );

  test("takes a job from a model that uses its kinds as tools, with a picture in the call", async () => {
    const client = new Client({ name: "test", version: "1" });
    const transport = new StreamableHTTPClientTransport(new URL(`${served.addresses.web}/mcp`));
    await client.connect(transport as Parameters<typeof client.connect>[0]);
    const noise = Array.from({ length: 64 * 64 * 3 }, (_, at) => (at * 7919) % 251);
    const picture = sharp(Buffer.from(noise), { raw: { width: 64, height: 64, channels: 3 } });
    const image = {
      type: "image",
      data: (await picture.png().toBuffer()).toString("base64"),
      mimeType: "image/png",
    };
    const { structuredContent } = await client.callTool({
      name: "image_check",
      arguments: { image, question: "Is it noise?" },
    });
    expect(structuredContent).toMatchObject({
      kind: "image.check",
      status: "succeeded",
      output: { answer: expect.stringMatching(/^(y|n|uncertain)$/), probability: expect.any(Number) },
    });
    const { id } = structuredContent as { id: string };
    const stored = await served.s3.send(
      new GetObjectCommand({ Bucket: "kamado", Key: `results/${id}.json` }),
    );
    expect(JSON.parse(await stored.Body!.transformToString())).toMatchObject({ id, status: "succeeded" });
    await client.close();
  }, 120_000);

  test("moves a body that is not JSON to the dead-letter queue, with the reason", async () => {
    await send('{"kind": "prompt", ');
    const dead = served.addresses.queue.replace("kamado-jobs", "kamado-jobs-dead");
    // Others of this file are there too.
    const receive = async () => {
      const { Messages = [] } = await served.sqs.send(
        new ReceiveMessageCommand({
          QueueUrl: dead,
          MaxNumberOfMessages: 10,
          WaitTimeSeconds: 2,
          VisibilityTimeout: 0,
          MessageAttributeNames: ["All"],
        }),
      );
      return Messages;
    };
    await expect.poll(receive, { timeout: 60_000 }).toContainEqual(
      expect.objectContaining({
        Body: '{"kind": "prompt", ',
        MessageAttributes: expect.objectContaining({
          "kamado-code": expect.objectContaining({ StringValue: "malformed_json" }),
        }),
      }),
    );
  });

  test("shows no escape sequence that a job brought, and tells its sender of the failure", async () => {
    const hostile = "\u001b]0;owned\u0007\u001b[2J\u009b31m\u202e\ud800";
    let out = "";
    served.child.stdout!.setEncoding("utf8").on("data", (more) => (out += more));
    const jobs = {
      "esc-kind": { kind: hostile, input: {} },
      "esc-field": { kind: "prompt", input: { prompt: "x", [hostile]: 1, ["y".repeat(900_000)]: 1 } },
    };
    for (const [id, job] of Object.entries(jobs)) await send({ id, ...job });
    await send({ id: "esc-model", kind: "prompt", input: { prompt: "x" }, policy: { model: hostile } });
    await send({ id: hostile, kind: "prompt", input: { prompt: "x" } });
    expect((await resultOf("esc-kind")).error).toMatchObject({ code: "unknown_kind" });
    const { error } = await resultOf("esc-field");
    expect(error).toMatchObject({ code: "invalid_input", message: expect.stringContaining("\\u001b[2J") });
    const page = await (await fetch(served.addresses.web)).text();
    for (const shown of [out, served.errors(), page])
      expect(shown.replaceAll("\n", "")).not.toMatch(/\p{C}/u);
  });

  test("shows its state to people and machines, on loopback", async () => {
    const health = await fetch(`${served.addresses.web}/health`);
    expect({ status: health.status, body: await health.json() }).toMatchObject({
      status: 200,
      body: { queue: "ok", engine: true },
    });
    const page = await (await fetch(`${served.addresses.web}/console/jobs`)).text();
    expect(page.includes('href="/console/jobs/hello"')).toBe(true);
  });

  test("does the same job that `kamado enqueue --wait` sends, with the file it names", async () => {
    const folder = await mkdtemp(join(tmpdir(), "kamado-enqueue-"));
    await sharp({ create: { width: 40, height: 40, channels: 3, background: "#fff" } })
      .png()
      .toFile(join(folder, "door.png"));
    const port = new URL(served.addresses.endpoint).port;
    const { out, code } = await runKamado(
      ["enqueue", "image.check", "--input", "-", "--id", "door-1", "--wait", "60", "--json"],
      { KAMADO_LOCAL_PORT: port },
      { input: JSON.stringify({ image: `file:${join(folder, "door.png")}`, question: "Is it white?" }) },
    );
    expect(JSON.parse(out)).toMatchObject({
      id: "door-1",
      status: "succeeded",
      output: { answer: expect.stringMatching(/^(y|n|uncertain)$/) },
    });
    expect(code).toBe(0);
  });

  test("`kamado enqueue --wait` does not take another job's result for its own", async () => {
    await send({ id: "taken", kind: "prompt", input: { prompt: "Say something" } });
    await resultOf("taken");
    const port = new URL(served.addresses.endpoint).port;
    const sent = await runKamado(
      ["enqueue", "prompt", "--input", "-", "--id", "taken", "--wait", "60", "--json"],
      { KAMADO_LOCAL_PORT: port },
      { input: JSON.stringify({ prompt: "Say something else" }) },
    );
    expect(sent).toEqual({
      out: "",
      errors: expect.stringContaining("duplicate_id"),
      code: 2,
    });
  });
});

test.each([
  ["KAMADO_LOCAL_PORT", "the embedded queue"],
  ["KAMADO_ENGINE_PORT", "the engine"],
  ["KAMADO_WEB_PORT", "the page"],
])(
  "a port that is taken is reported with the variable to set: %s, of %s",
  { timeout: 120_000 },
  async (variable) => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    const { port } = other.address() as AddressInfo;
    const child = kamado(["serve", "--in-memory", "--json"], { ...SCRIPTED, [variable]: String(port) });
    const [errors, [code]] = await Promise.all([text(child.stderr!), once(child, "exit")]);
    other.close();
    expect({ code, errors }).toEqual({
      code: 2,
      errors: expect.stringContaining(`${variable}: port ${port} `),
    });
  },
);
