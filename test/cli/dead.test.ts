// Failed deliveries with real processes: a worker that is killed, and `kamado dead` as a person types it.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CreateQueueCommand } from "@aws-sdk/client-sqs";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, beforeEach, expect, onTestFailed, onTestFinished, test } from "vitest";
import { makeAwsClients } from "../../worker/aws/clients.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { createDeliveryLog } from "../../worker/outbox/delivery-log.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { type Receiver, startReceiver, status } from "../fakes/receiver.ts";
import { kamado, runKamado, SCRIPTED } from "./process.ts";

const SECRET = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;
const LONG = { timeout: 60_000, interval: 50 };

let aws: LocalAws;
let clients: ReturnType<typeof makeAwsClients>;
let receiver: Receiver;
let variables: Record<string, string>;
let worker: ChildProcess;
let output = "";

function startWorker(): void {
  worker = kamado(["worker"], variables, { until: "file" });
  for (const stream of [worker.stdout!, worker.stderr!])
    stream.setEncoding("utf8").on("data", (more) => (output += more));
}

beforeAll(async () => {
  [aws, receiver] = await Promise.all([startLocalAws({ port: 0 }), startReceiver(status(500))]);
  clients = makeAwsClients(aws);
  const file = join(mkdtempSync(join(tmpdir(), "kamado-dead-")), "destinations.json");
  writeFileSync(file, JSON.stringify([{ match: receiver.url, secret: SECRET, allowPrivate: true }]));
  variables = {
    ...SCRIPTED,
    AWS_ENDPOINT_URL: aws.endpoint,
    AWS_ACCESS_KEY_ID: "any",
    AWS_SECRET_ACCESS_KEY: "thing",
    KAMADO_QUEUE_URL: aws.resources.jobsQueueUrl,
    KAMADO_DESTINATIONS_FILE: file,
    // Longer than a busy machine lets a process wait: a lost lease would deliver twice.
    KAMADO_VISIBILITY_SECONDS: "6",
    KAMADO_DELIVERY_DELAYS: `0,${Array(40).fill(1).join(",")}`,
  };
  startWorker();
});
beforeEach(() => onTestFailed(() => console.error(output)));
afterAll(async () => {
  const exited = once(worker, "exit");
  if (worker.kill("SIGTERM")) await exited;
  clients.destroy();
  await Promise.all([receiver.close(), aws.stop()]);
});

const send = (id: string) =>
  sqsQueue(clients.sqs, aws.resources.jobsQueueUrl).send(
    JSON.stringify({
      id,
      kind: "prompt",
      input: { prompt: id },
      deliver: [{ callback: `${receiver.url}/hook` }],
    }),
  );
const logOf = (id: string) =>
  createDeliveryLog({ bucket: s3Bucket(clients.s3, aws.resources.bucket), log: silentLog }).all(id);
const idsOf = (id: string) =>
  receiver.received
    .filter(({ body }) => JSON.parse(body).data.id === id)
    .map(({ headers }) => headers["webhook-id"]);

const deadOf = (environment: Record<string, string>, ...args: string[]) =>
  runKamado(["dead", ...args], environment);
const dead = (...args: string[]) => deadOf(variables, ...args);

test("a receiver that was down gets one result when it is up again, even if the worker is killed meanwhile", async () => {
  await send("a");
  await expect.poll(() => idsOf("a").length, LONG).toBeGreaterThanOrEqual(2);
  worker.kill("SIGKILL");
  await once(worker, "exit");
  const jobs = sqsQueue(clients.sqs, aws.resources.jobsQueueUrl);
  expect(await jobs.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 0 })).toEqual([]);

  const received: unknown[] = [];
  receiver.respond(({ body, headers }, response) => {
    received.push(new Webhook(SECRET).verify(body, headers));
    response.end();
  });
  startWorker();
  await expect.poll(async () => (await logOf("a")).at(-1)?.outcome, LONG).toBe("delivered");
  expect(received).toMatchObject([{ type: "job.succeeded", data: { id: "a" } }]);
  expect(new Set(idsOf("a")).size).toBe(1);
  const { out, code } = await dead();
  expect([out, code]).toEqual(["no dead letters\n", 0]);
  const shown = await dead("show", "a");
  expect(shown.out).toMatch(/^a {2}no dead letter[\s\S]*failed 500[\s\S]*delivered/);
}, 120_000);

test("a receiver that is gone for good is turned off, and turned on by a redrive", async () => {
  receiver.respond(status(410));
  await send("b");
  await expect.poll(async () => (await logOf("b")).at(-1)?.outcome, LONG).toBe("refused");
  const listed = await dead("list");
  expect(listed.out).toMatch(/deliveries {2}1 dead letter[\s\S]*b +prompt +delivery_rejected/);
  expect(listed.out).toMatch(/turned off {2}1 destination/);
  const terminal = listed.out.split("\n").filter((line) => !line.startsWith("  "));
  expect(Math.max(...terminal.map((line) => line.length))).toBeLessThanOrEqual(80);
  const shown = JSON.parse((await dead("show", "b", "--json")).out);
  expect(shown).toMatchObject({
    id: "b",
    queue: "deliveries",
    code: "delivery_rejected",
    reason: "127.0.0.1 answered 410.",
    to: `callback:${receiver.url}/hook`,
    receipt: { worker: expect.any(String) },
    tries: [{ outcome: "refused", status: 410, attempt: 1 }],
  });
  receiver.respond(status(200));
  const redriven = await dead("redrive", "--destination", new URL(receiver.url).host);
  expect([redriven.out, redriven.code]).toEqual(["1 dead letter sent back\n1 destination turned on\n", 0]);
  await expect.poll(async () => (await logOf("b")).at(-1)?.outcome, LONG).toBe("delivered");
  expect(new Set(idsOf("b")).size).toBe(1);
}, 120_000);

test("what a dead letter brought cannot steer the terminal, in words and as JSON", async () => {
  const sequence = "\u001b[2J\u001b]0;owned\u0007";
  const marks = "\u009b31m\u202e\u200b";
  const body = { id: "esc", kind: sequence + marks, input: { [sequence]: marks }, policy: { model: "m" } };
  const attributes = {
    "kamado-code": `invalid_input${marks}`,
    "kamado-reason": `kind: ${marks}\nnext`,
    "kamado-errors": JSON.stringify([`invalid_input: ${sequence}${marks}`]),
    "kamado-worker": marks,
    "kamado-queue": `jobs${marks}`,
    "kamado-receipt": JSON.stringify({ model: sequence + marks, [sequence]: 1 }),
    "kamado-last-at": `2026-01-01T00:00:00Z${marks}`,
  };
  await sqsQueue(clients.sqs, aws.resources.deadQueueUrl).send(JSON.stringify(body), { attributes });
  let last = "";
  for (const args of [["list"], ["list", "--json"], ["show", "esc"], ["show", "esc", "--json"]]) {
    const { out, errors, code } = await dead(...args);
    expect([out.includes("esc"), code]).toEqual([true, 0]);
    expect((out + errors).replaceAll("\n", ""), args.join(" ")).not.toMatch(/\p{C}/u);
    last = out;
  }
  expect(JSON.parse(last).kind).toBe(sequence + marks);
  expect((await dead("purge", "esc")).code).toBe(0);
}, 120_000);

test("dead letters behind the first of a FIFO group are mentioned, and deleted with it", async () => {
  const QueueName = "kamado-jobs-dead.fifo";
  const create = new CreateQueueCommand({ QueueName, Attributes: { FifoQueue: "true" } });
  const url = `${new URL(aws.resources.deadQueueUrl).href}.fifo`;
  await clients.sqs.send(create);
  const queue = sqsQueue(clients.sqs, url);
  for (let i = 0; i < 4; i++) await queue.send(`letter ${i}`, { group: "g" });
  const own = { ...variables, KAMADO_DEAD_QUEUE_URL: url };
  const listed = await deadOf(own, "list", "--queue", "jobs");
  expect(listed.out).toContain("1 dead letter");
  expect(listed.errors).toContain("there may be more");
  expect((await deadOf(own, "show", "x")).errors).toContain("there may be more");
  const purged = await deadOf(own, "purge", "--all", "--yes", "--queue", "jobs");
  expect([purged.out, purged.errors, purged.code]).toEqual(["4 dead letters deleted\n", "", 0]);
}, 60_000);

test("a worker says that its outbox is missing, and what to do about it", async () => {
  const own = { ...variables, KAMADO_DELIVERIES_QUEUE_URL: `${aws.resources.deliveriesQueueUrl}-gone` };
  const child = kamado(["worker"], { ...own, KAMADO_LOG_LEVEL: "info" });
  const exited = once(child, "exit");
  onTestFinished(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  let log = "";
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding("utf8").on("data", (more) => (log += more));
  const web = () => /"web":"([^"]+)"/.exec(log)?.[1];
  await expect.poll(web, LONG).toBeDefined();
  const health = async () => (await fetch(`${web()}/health`)).json();
  await expect.poll(health, LONG).toMatchObject({
    queue: "ok",
    deliveries: "missing_queue",
    deliveriesHint: expect.stringContaining("KAMADO_DELIVERIES_QUEUE_URL"),
  });
  const state = await (await fetch(`${web()}/state`)).json();
  expect(state.deliveries).toMatchObject({ url: own.KAMADO_DELIVERIES_QUEUE_URL, health: "missing_queue" });
  expect(await (await fetch(web()!)).text()).toContain("KAMADO_DELIVERIES_QUEUE_URL");
}, 60_000);

test("mistakes are reported, with an exit code that a script can use", async () => {
  const [unknown, bare, all, queue] = await Promise.all([
    dead("show", "nobody"),
    dead("redrive"),
    dead("purge", "--all"),
    dead("list", "--queue", "todo"),
  ]);
  expect([unknown.code, bare.code, all.code, queue.code]).toEqual([1, 2, 2, 2]);
  const nowhere = await dead("redrive", "--destination", "nowhere.example");
  expect([nowhere.code, nowhere.errors]).toEqual([
    1,
    expect.stringContaining("no dead letter is for nowhere.example"),
  ]);
  expect(unknown.errors).toContain("no dead letter has the id nobody");
  expect(bare.errors).toContain("--all");
  expect(all.errors).toContain("--yes");
}, 120_000);
