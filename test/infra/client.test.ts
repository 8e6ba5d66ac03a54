// The whole way as infra/README.md says it: the stack is deployed, `kamado setup aws` writes the file, the key goes into it, and a worker that
// has nothing else takes the jobs that `kamado/client` sends as an enqueuer. Each does only what the template's policies allow.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, mkdtempSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Client, createClient, verifyCallback } from "../../client/client.ts";
import type { AnyKinds } from "../../client/contract.ts";
import { setupAws } from "../../worker/cli/commands/setup.ts";
import { loadConfig } from "../../worker/config/config.ts";
import { SCRIPTED } from "../cli/process.ts";
import { DEPLOY_MS, type Deployed, deploy, ENQUEUER, whyNotDeployed } from "./deployed.ts";

const ROOT = resolve(import.meta.dirname, "../..");
const SECRET = `whsec_${Buffer.from("a signing key of this test").toString("base64")}`;
/** A policy has at least one statement. */
const NOTHING = { Sid: "Nothing", Effect: "Allow", Action: "sqs:ListQueues", Resource: "*" };
const skipped = whyNotDeployed();
const folder = mkdtempSync(join(tmpdir(), "kamado-flow-"));
const file = join(folder, "kamado.env");

await using stack = new AsyncDisposableStack();
const opened = stack.move();
let deployed: Deployed;
let kamado: Client<AnyKinds>;
let log = "";
let received: Promise<ReturnType<typeof verifyCallback>>;
let callback: string;

beforeAll(async () => {
  if (skipped !== null) return;
  deployed = await deploy();
  opened.defer(deployed.stop);
  const { outputs, admin } = deployed;
  await setupAws(
    { stack: "kamado", file },
    loadConfig(
      { AWS_ACCESS_KEY_ID: "test", AWS_SECRET_ACCESS_KEY: "test" },
      { AWS_ENDPOINT_URL: admin.endpoint },
    ),
  );
  const { accessKeyId, secretAccessKey } = (await deployed.keyOf(outputs.WorkerUserName!)).credentials!;
  appendFileSync(file, `AWS_ACCESS_KEY_ID=${accessKeyId}\nAWS_SECRET_ACCESS_KEY=${secretAccessKey}\n`);
  await receiveCallbacks();
  await startWorker();
  kamado = createClient<AnyKinds>({
    ...(await deployed.keyOf(ENQUEUER)),
    queueUrl: outputs.JobsQueueUrl!,
    bucket: outputs.BucketName!,
  });
  opened.defer(() => kamado.close());
}, DEPLOY_MS);
afterAll(() => opened.disposeAsync());

async function receiveCallbacks(): Promise<void> {
  const one = Promise.withResolvers<ReturnType<typeof verifyCallback>>();
  received = one.promise;
  const server = createServer(async (request, response) => {
    const body = await text(request);
    try {
      one.resolve(verifyCallback({ headers: request.headers, body, secret: SECRET }));
    } catch (thrown) {
      one.reject(thrown);
    }
    response.writeHead(204).end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  opened.defer(() => void server.close());
  callback = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  const destinations = [{ match: callback, allowPrivate: true, secret: SECRET }];
  writeFileSync(join(folder, "destinations.json"), JSON.stringify(destinations));
}

/** As the README says. */
async function startWorker(): Promise<void> {
  const child = spawn(
    "sh",
    ["-c", `set -a; . ${file}; set +a; exec "$NODE" "$ROOT/worker/cli/start.mjs" worker`],
    {
      cwd: folder,
      env: {
        PATH: process.env.PATH,
        HOME: folder,
        NODE: process.execPath,
        ROOT,
        ...SCRIPTED,
        KAMADO_LOG_LEVEL: "debug",
        KAMADO_DESTINATIONS_FILE: join(folder, "destinations.json"),
      },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    },
  );
  const exited = once(child, "exit");
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (more: string) => (log += more));
  opened.defer(async () => {
    process.kill(-child.pid!, "SIGKILL");
    await exited;
  });
}

// The first, because a worker looks every three seconds and only when it runs jobs.
test("a job is canceled before it arrives", async (context) => {
  if (skipped !== null) return context.skip(skipped);
  expect(await kamado.cancel("not-yet")).toMatchObject({ is: "waiting" });
  await kamado.enqueue("prompt", { prompt: "never" }, { id: "not-yet" });
  expect(await kamado.wait("not-yet", { timeoutSeconds: 60 })).toMatchObject({ status: "canceled" });
  expect(await kamado.cancel("not-yet")).toEqual({ is: "ended", status: "canceled" });
}, 90_000);

test("a job that is sent has its result, also at a callback whose signature is verified", async (context) => {
  if (skipped !== null) return context.skip(skipped);
  const job = await kamado.enqueue("prompt", { prompt: "hello" }, { deliver: [{ callback }] });
  expect(await kamado.wait(job, { timeoutSeconds: 60 })).toMatchObject({
    id: job.id,
    status: "succeeded",
    output: { text: expect.stringContaining("hello") },
  });
  const { result } = await received;
  expect([result.id, result.status]).toEqual([job.id, "succeeded"]);
}, 90_000);

test("many jobs, one too long for a message and one with bytes in it: each has its result", async (context) => {
  if (skipped !== null) return context.skip(skipped);
  const sent = await kamado.enqueueMany([
    { kind: "prompt", input: { prompt: "one" } },
    { kind: "prompt", input: { prompt: `long ${"x".repeat(1_100_000)}` } },
    { kind: "image.check", input: { image: new TextEncoder().encode("no picture"), question: "?" } },
  ]);
  const results = await Promise.all(
    sent.map((one) => (one.ok ? kamado.wait(one.id, { timeoutSeconds: 60 }) : one.error)),
  );
  // What the worker says of the last two it can only say once it has read what was uploaded.
  expect(results).toMatchObject([
    { status: "succeeded" },
    { status: "failed", error: { code: expect.stringMatching(/context_length_exceeded|invalid_input/) } },
    { status: "failed", error: { code: "image_undecodable" } },
  ]);
}, 90_000);

test("a map has the results of its inputs in their order, and finds them the next time", async (context) => {
  if (skipped !== null) return context.skip(skipped);
  const inputs = [{ prompt: "map one" }, { prompt: "map two" }];
  for (const reused of [false, true]) {
    const found = [];
    for await (const one of kamado.map("prompt", inputs, { timeoutSeconds: 60 })) found.push(one);
    expect(found).toMatchObject(
      inputs.map(({ prompt }, index) => ({
        index,
        reused,
        result: { output: { text: expect.stringContaining(prompt) } },
      })),
    );
  }
}, 90_000);

test("what a sender may not do is said with the right that is missing", async (context) => {
  if (skipped !== null) return context.skip(skipped);
  const { outputs } = deployed;
  const stranger = createClient<AnyKinds>({
    ...(await deployed.userWith([NOTHING])),
    queueUrl: outputs.JobsQueueUrl!,
    bucket: outputs.BucketName!,
  });
  const image = new Uint8Array([1]);
  const refused = await Promise.all(
    [
      stranger.enqueue("prompt", { prompt: "x" }),
      stranger.enqueue("image.check", { image, question: "?" }),
      stranger.cancel("a"),
      stranger.wait("a", { timeoutSeconds: 0 }),
      stranger.map("prompt", [{ prompt: "x" }]).next(),
    ].map((act) => act.then(String, ({ code, hint }) => [code, /\w+:\w+ on [^\s,;]+/.exec(hint)?.[0]])),
  );
  stranger.close();
  expect(refused).toEqual([
    ["queue_unavailable", "sqs:SendMessage on the"],
    ["object_forbidden", "s3:PutObject on in/*"],
    ["object_forbidden", "s3:GetObject on results/*"],
    ["object_forbidden", "s3:GetObject on results/*"],
    ["object_forbidden", "s3:GetObject on results/*"],
  ]);
}, 60_000);

test("nothing that the worker did was refused", async (context) => {
  if (skipped !== null) return context.skip(skipped);
  expect(log).not.toMatch(/AccessDenied|not authorized|forbidden/i);
});
