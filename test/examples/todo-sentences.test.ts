// A sentence that somebody says on the Todo service's page: the job that it becomes, and what the page is told about it. A queue and a bucket
// are there for real; the test does what a worker would do.
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { Changes } from "../../examples/todo-service/changes.ts";
import { type Sentence, Sentences } from "../../examples/todo-service/sentences.ts";
import { startTodoService, type TodoService } from "../../examples/todo-service/service.ts";
import { type AwsClients, makeAwsClients } from "../../worker/aws/clients.ts";
import { KamadoError } from "../../worker/errors.ts";
import type { Result } from "../../worker/job/result.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { createResults } from "../../worker/storage/results.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";

let aws: LocalAws;
let clients: AwsClients;
let service: TodoService;
let missing: KamadoError | null = null;
beforeAll(async () => {
  aws = await startLocalAws({ port: 0 });
  clients = makeAwsClients(aws);
});
afterAll(async () => {
  clients.destroy();
  await aws.stop();
});
beforeEach(async () => {
  missing = null;
  service = await startTodoService({ port: 0, findQueue });
  onTestFinished(() => service.stop());
});

async function findQueue() {
  if (missing) throw missing;
  const { resources, endpoint, region, credentials } = aws;
  return { queueUrl: resources.jobsQueueUrl, bucket: resources.bucket, endpoint, region, credentials };
}

const headers = { "content-type": "application/json" };
const say = (body: unknown) =>
  fetch(`${service.url}/sentences`, { method: "POST", headers, body: JSON.stringify(body) });
const read = async () =>
  (await (await fetch(`${service.url}/sentences`)).json()) as { sentences: Sentence[]; problem: object };

async function received() {
  const queue = sqsQueue(clients.sqs, aws.resources.jobsQueueUrl);
  const [message] = await queue.receive({ max: 1, waitSeconds: 5, visibilitySeconds: 30 });
  await queue.remove([message!.handle]);
  return JSON.parse(message!.body);
}

/** Resolves when what the page is told of fits. */
async function until(condition: (sentence: Sentence | undefined) => boolean): Promise<Sentence | undefined> {
  const response = await fetch(`${service.url}/changes`);
  for await (const _ of response.body!) {
    const [sentence] = (await read()).sentences;
    if (condition(sentence)) return sentence;
  }
  throw new Error("the stream ended");
}

test("becomes a todo.match job that reads the open todos of the service and changes them", async () => {
  const response = await say({ text: " we are out of milk " });
  expect(response.status).toBe(202);
  const sentence = (await response.json()) as Sentence;
  expect(sentence).toMatchObject({ text: "we are out of milk", state: "waiting" });
  expect(await received()).toEqual({
    id: sentence.id,
    kind: "todo.match",
    input: { text: "we are out of milk", todosUrl: `${service.url}/todos?status=open` },
    deliver: [{ rest: `${service.url}/todos` }],
    policy: {},
  });
  expect(await read()).toEqual({ sentences: [sentence], problem: null });
});

const RECEIPT = { attempts: 1, worker: "w" } as Result["receipt"];
const output = (action: string, more = {}) => ({
  status: "succeeded" as const,
  output: { action, title: "buy milk", probability: 0.9, ...more },
});

describe("its result is shown by itself", () => {
  test.each([
    ["a note", output("update", { todoId: "1" }), { state: "update", title: "buy milk" }],
    ["a new todo", output("create"), { state: "create", title: "buy milk" }],
    ["uncertain", output("uncertain"), { state: "uncertain", title: "buy milk" }],
    [
      "an error, with what to do",
      { status: "failed" as const, error: { code: "engine_died", message: "It died.", hint: "Buy memory." } },
      { state: "failed", error: { code: "engine_died", message: "It died.", hint: "Buy memory." } },
    ],
  ])("%s", async (_, result, shown) => {
    await say({ text: "we are out of milk" });
    const { id, kind } = await received();
    const ended = until((sentence) => sentence !== undefined && sentence.state !== "waiting");
    const results = createResults(s3Bucket(clients.s3, aws.resources.bucket));
    await results.store({ id, kind, ...result, receipt: RECEIPT } as Result);
    expect(await ended).toMatchObject({ id, ...shown });
  });

  test("or that there is none yet: the job is on the queue all the same", async () => {
    const sentences = new Sentences({
      findQueue,
      url: () => service.url,
      changes: new Changes(),
      signal: new AbortController().signal,
      waitSeconds: 0,
    });
    await sentences.say("we are out of milk");
    await received();
    await sentences.stopped();
    expect(sentences.list()).toMatchObject([{ state: "late", text: "we are out of milk" }]);
    expect(sentences.list()[0]).not.toHaveProperty("error");
  });
});

test("can be dismissed", async () => {
  const { id } = (await (await say({ text: "x" })).json()) as Sentence;
  await received();
  const remove = () => fetch(`${service.url}/sentences/${id}`, { method: "DELETE" });
  expect((await remove()).status).toBe(204);
  expect((await remove()).status).toBe(404);
  expect((await read()).sentences).toEqual([]);
});

test("without a Kamado it is refused with what to do, and the page says so before anybody writes one", async () => {
  missing = new KamadoError("queue_unavailable", "No Kamado runs on this machine.", { hint: "Start it." });
  const problem = {
    code: "queue_unavailable",
    message: "No Kamado runs on this machine.",
    hint: "Start it.",
  };
  const response = await say({ text: "we are out of milk" });
  expect({ status: response.status, body: await response.json() }).toEqual({
    status: 503,
    body: { error: problem },
  });
  expect(await read()).toEqual({ sentences: [], problem });
});

test("a queue that does not answer is an error, and the sentence is not lost in silence", async () => {
  const own = await startTodoService({
    port: 0,
    findQueue: async () => ({
      ...(await findQueue()),
      queueUrl: `${aws.endpoint}/000000000000/no-such-queue`,
    }),
  });
  onTestFinished(() => own.stop());
  const response = await fetch(`${own.url}/sentences`, {
    method: "POST",
    headers,
    body: '{"text": "we are out of milk"}',
  });
  expect(response.status).toBe(503);
  expect(await response.json()).toMatchObject({
    error: { code: "queue_unavailable", hint: expect.any(String) },
  });
});

test.each([
  ["nothing", {}, "text:"],
  ["an empty one", { text: "  " }, "text:"],
  ["one that todo.match would not read", { text: "x".repeat(2_001) }, "text:"],
])("%s is refused by name", async (_, body, words) => {
  const response = await say(body);
  expect(response.status).toBe(400);
  expect(((await response.json()) as { error: { message: string } }).error.message).toContain(words);
});
