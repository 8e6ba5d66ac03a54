// What a sender gets from `kamado/client`, on the embedded AWS: the queue has the job that was meant, and the result comes.
import { setTimeout as sleep } from "node:timers/promises";
import { S3Client } from "@aws-sdk/client-s3";
import { CreateQueueCommand, type SQSClient } from "@aws-sdk/client-sqs";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { type AnyKinds, type Client, createClient, KamadoError, type Result } from "../../client/client.ts";
import { type AwsClients, makeAwsClients } from "../../worker/aws/clients.ts";
import { parseBody } from "../../worker/job/envelope.ts";
import { jobHash } from "../../worker/job/job-hash.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import type { Bucket } from "../../worker/storage/bucket.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";

let aws: LocalAws;
let clients: AwsClients;
let bucket: Bucket;
let client: Client;
let queueUrl: string;
let serial = 0;

beforeAll(async () => {
  aws = await startLocalAws({ port: 0 });
  clients = makeAwsClients(aws);
  bucket = s3Bucket(clients.s3, aws.resources.bucket);
});
afterAll(async () => {
  clients.destroy();
  await aws.stop();
});
/** A queue of its own for each test. */
beforeEach(async () => {
  queueUrl = await newQueue();
  client = createClient({ ...clients, queueUrl, bucket: bucket.name });
});

async function newQueue(Attributes: Record<string, string> = {}): Promise<string> {
  const QueueName = `client-${++serial}${Attributes.FifoQueue ? ".fifo" : ""}`;
  const { QueueUrl } = await clients.sqs.send(new CreateQueueCommand({ QueueName, Attributes }));
  return QueueUrl!;
}

async function bodies(url = queueUrl): Promise<string[]> {
  const queue = sqsQueue(clients.sqs, url);
  const all: string[] = [];
  for (;;) {
    const some = await queue.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 60 });
    if (some.length === 0) return all;
    all.push(...some.map(({ body }) => body));
  }
}

const textAt = async (address: string) =>
  Buffer.from(
    (await bucket.get(address.replace("s3://kamado/", ""), { maxBytes: 5_000_000 })).bytes,
  ).toString();

function jobOf(body: string) {
  const parsed = parseBody(body, { messageId: "m", rules: [] });
  if (parsed.is !== "job") throw new Error(`not a job: ${JSON.stringify(parsed)}`);
  return parsed.job;
}

async function bodyBehind(pointer: string): Promise<string> {
  const parsed = parseBody(pointer, { messageId: "m", rules: [] });
  if (parsed.is !== "pointer") throw new Error(`not a pointer: ${pointer.slice(0, 200)}`);
  return textAt(`s3://${parsed.bucket}/${parsed.key}`);
}

const codeOf = async (work: Promise<unknown>) =>
  await work.then(
    () => "nothing thrown",
    (error) => (error instanceof KamadoError ? error.code : error),
  );

const result = (id: string, more: object = {}) => ({
  id,
  kind: "prompt",
  status: "succeeded",
  output: { text: "hello" },
  receipt: { attempts: 1 },
  ...more,
});
const store = (id: string, more: object = {}) =>
  bucket.put(`results/${id}.json`, JSON.stringify(result(id, more)), { contentType: "application/json" });

/** An SDK client whose answers a test gives. */
const faked = <C>(send: (command: { input: Record<string, unknown> }) => unknown) =>
  ({ send: async (command: never) => send(command), destroy() {} }) as unknown as C;
const awsError = (name: string, status: number) =>
  Object.assign(new Error(name), { name, $metadata: { httpStatusCode: status } });

test("the queue has the job as it was given, with the id that is returned", async () => {
  const sent = await client.enqueue(
    "image.check",
    { image: "s3://kamado/in/door.jpg", question: "Is the door \ud800 locked?", threshold: undefined },
    {
      deliver: [{ callback: "https://example.org/hook" }],
      policy: { expiresAt: new Date("2036-01-01T00:00:00Z"), priority: 9 },
    },
  );
  const [body = ""] = await bodies();
  const job = jobOf(body);
  expect(job).toEqual({
    id: sent.id,
    kind: "image.check",
    input: { image: "s3://kamado/in/door.jpg", question: "Is the door \ufffd locked?" },
    deliver: [{ callback: "https://example.org/hook" }],
    policy: { expiresAt: "2036-01-01T00:00:00.000Z", priority: 9 },
  });
  expect(sent).toEqual({
    id: expect.stringMatching(/^[\da-f-]{36}$/),
    kind: "image.check",
    messageId: expect.any(String),
    jobHash: jobHash(job),
  });
});

test.each([
  [{ id: "a b" }, "id: expected 1 to 128 letters"],
  [{ policy: { priority: 10 } }, "policy.priority"],
  [{ deliver: [{ callback: "nowhere" }] }, "deliver.0"],
  [{ deliver: [{ mail: "me@example.org" } as never] }, "deliver.0"],
])("what is wrong with a job is said before anything is uploaded or sent: %j", async (options, words) => {
  const image = new Uint8Array([1, 2, 3]);
  const before = (await bucket.list("in/")).length;
  const sending = client.enqueue("image.check", { image, question: "?" }, options);
  await expect(sending).rejects.toMatchObject({
    code: "invalid_input",
    message: expect.stringContaining(words),
  });
  expect([await bodies(), (await bucket.list("in/")).length]).toEqual([[], before]);
});

const circular: Record<string, unknown> = {};
circular.self = [circular];
test.each([
  ["that contains itself", circular, "input: it contains itself"],
  [
    "with a number that JSON does not know",
    { prompt: 7n },
    "input: it cannot be written as JSON: Do not know how",
  ],
  ["that is missing", undefined, "input: "],
])("an input %s is refused before anything is sent", async (_, input, words) => {
  const any = createClient<AnyKinds>({ ...clients, queueUrl, bucket: bucket.name });
  await expect(any.enqueue("prompt", input)).rejects.toMatchObject({
    code: "invalid_input",
    message: expect.stringContaining(words),
  });
  expect(await bodies()).toEqual([]);
});

test("bytes in an input are uploaded, and the job has their address", async () => {
  const question = "Is the door locked?";
  await client.enqueue("image.check", { image: Buffer.from("picture"), question }, { id: "bytes" });
  await client.enqueue("image.check", { image: new File(["photo"], "../a b.jpg"), question }, { id: "file" });
  const images = (await bodies()).map((body) => (jobOf(body).input as { image: string }).image);
  expect(images.toSorted()).toEqual([
    expect.stringMatching(/^s3:\/\/kamado\/in\/bytes\/[\da-f]{16}\/input$/),
    expect.stringMatching(/^s3:\/\/kamado\/in\/file\/[\da-f]{16}\/a b\.jpg$/),
  ]);
  expect(await Promise.all(images.toSorted().map(textAt))).toEqual(["picture", "photo"]);
});

test("a job that is too long for a message goes into the bucket, and a pointer to it into the queue", async () => {
  const text = "x".repeat(1_000_000);
  const { id } = await client.enqueue("article.extract", { text });
  const [pointer = ""] = await bodies();
  expect(pointer.length).toBeLessThan(500);
  expect(jobOf(await bodyBehind(pointer))).toMatchObject({ id, input: { text } });
});

test("a queue that takes less than SQS allows gets pointers too, alone and in a batch", async () => {
  const url = await newQueue({ MaximumMessageSize: "1024" });
  const small = createClient({ ...clients, queueUrl: url, bucket: bucket.name });
  const long = { kind: "prompt" as const, input: { prompt: "x".repeat(2_000) } };
  const short = { kind: "prompt" as const, input: { prompt: "short" } };
  await small.enqueue("prompt", long.input, { id: "one" });
  const sent = await small.enqueueMany([
    { ...short, id: "two" },
    { ...long, id: "three" },
    { ...short, id: "four" },
  ]);
  expect(sent.map((one) => [one.ok, one.id])).toEqual([
    [true, "two"],
    [true, "three"],
    [true, "four"],
  ]);
  const all = await bodies(url);
  const ids = await Promise.all(
    all.map(async (body) => jobOf(body.startsWith("[") ? await bodyBehind(body) : body).id),
  );
  expect(ids.toSorted()).toEqual(["four", "one", "three", "two"]);
});

test("in a FIFO queue a job that is sent twice is there once", async () => {
  const url = await newQueue({ FifoQueue: "true" });
  const fifo = createClient({ ...clients, queueUrl: url, bucket: bucket.name });
  for (const _ of [1, 2]) await fifo.enqueue("prompt", { prompt: "hello" }, { id: "once", group: "g" });
  expect(await bodies(url)).toHaveLength(1);
});

test("many jobs go in batches of ten, with one result for each in their order; a wrong one costs only itself", async () => {
  const calls: number[] = [];
  const sqs = faked<SQSClient>((command) => {
    calls.push((command.input.Entries as unknown[]).length);
    return clients.sqs.send(command as never);
  });
  const counted = createClient<AnyKinds>({ sqs, s3: clients.s3, queueUrl, bucket: bucket.name });
  const jobs = Array.from({ length: 25 }, (_, index) => ({
    id: `many-${index}`,
    kind: "prompt",
    input: { prompt: `${index}` } as unknown,
    policy: { priority: index === 3 ? 99 : 5 },
  }));
  jobs[7]!.input = { prompt: 7n };
  const sent = await counted.enqueueMany(jobs);
  expect(sent.map(({ id }) => id)).toEqual(jobs.map(({ id }) => id));
  const failed = sent.flatMap((one) => (one.ok ? [] : [[one.id, one.error.code, one.error.message]]));
  expect(failed).toEqual([
    ["many-3", "invalid_input", expect.stringContaining("policy.priority")],
    ["many-7", "invalid_input", expect.stringContaining("BigInt")],
  ]);
  expect(calls).toEqual([10, 10, 3]);
  expect((await bodies()).map((body) => jobOf(body).id).toSorted()).toEqual(
    sent.flatMap((one) => (one.ok ? [one.id] : [])).toSorted(),
  );
});

test("a batch has no more bytes than older queues and emulators take in one call", async () => {
  const jobs = Array.from({ length: 6 }, (_, index) => ({
    id: `long-${index}`,
    kind: "prompt" as const,
    input: { prompt: "x".repeat(100_000) },
  }));
  const sizes: number[] = [];
  const sqs = faked<SQSClient>((command) => {
    const entries = command.input.Entries as { MessageBody: string }[];
    sizes.push(entries.reduce((sum, { MessageBody }) => sum + MessageBody.length, 0));
    return clients.sqs.send(command as never);
  });
  const sent = await createClient({ ...clients, sqs, queueUrl }).enqueueMany(jobs);
  expect(sent.every(({ ok }) => ok)).toBe(true);
  expect(sizes).toHaveLength(3);
  expect(Math.max(...sizes)).toBeLessThanOrEqual(256 * 1024);
});

test("an entry that the queue does not take says why, and whether to send it again; the others are there", async () => {
  const sqs = faked<SQSClient>(({ input }) => ({
    Successful: [{ Id: "0", MessageId: "m0" }],
    Failed: (input.Entries as { Id: string }[]).slice(1).map(({ Id }) => ({
      Id,
      Code: Id === "1" ? "InternalError" : "InvalidMessageContents",
      Message: "no",
      SenderFault: Id !== "1",
    })),
  }));
  const sent = await createClient({ ...clients, sqs, queueUrl }).enqueueMany(
    ["a", "b", "c"].map((id) => ({ id, kind: "prompt", input: { prompt: id } })),
  );
  expect(sent.map((one) => (one.ok ? one.messageId : [one.id, one.error.code, one.error.retry]))).toEqual([
    "m0",
    ["b", "queue_unavailable", true],
    ["c", "message_rejected", false],
  ]);
});

test("a call that fails costs its batch, not the others", async () => {
  let calls = 0;
  const sqs = faked<SQSClient>(({ input }) => {
    if (++calls === 1) throw awsError("ServiceUnavailable", 503);
    return { Successful: (input.Entries as { Id: string }[]).map(({ Id }) => ({ Id, MessageId: Id })) };
  });
  const jobs = Array.from({ length: 12 }, () => ({ kind: "prompt" as const, input: { prompt: "?" } }));
  const sent = await createClient({ ...clients, sqs, queueUrl }).enqueueMany(jobs);
  expect(sent.map(({ ok }) => ok)).toEqual([...Array(10).fill(false), true, true]);
});

test("where a call is refused because of one message, the others are sent all the same", async () => {
  const sqs = faked<SQSClient>(({ input }) => {
    const entries = input.Entries as { Id: string; MessageBody: string }[];
    if (entries.some(({ MessageBody }) => MessageBody.includes("bad")))
      throw awsError("InvalidMessageContents", 400);
    return { Successful: entries.map(({ Id }) => ({ Id, MessageId: "m" })) };
  });
  const sent = await createClient({ ...clients, sqs, queueUrl }).enqueueMany(
    ["good", "bad", "fine"].map((prompt) => ({ kind: "prompt", input: { prompt } })),
  );
  expect(sent.map((one) => (one.ok ? "sent" : one.error.code))).toEqual(["sent", "message_rejected", "sent"]);
});

test("many uploads go a few at a time, so that none waits for a connection until its time is over", async () => {
  let [running, most] = [0, 0];
  const s3 = faked<S3Client>(async () => {
    most = Math.max(most, ++running);
    await sleep(1);
    running--;
    return {};
  });
  const jobs = Array.from({ length: 60 }, (_, index) => ({
    kind: "image.check" as const,
    input: { image: new Uint8Array([index]), question: "?" },
  }));
  const sent = await createClient({ sqs: clients.sqs, s3, queueUrl, bucket: "kamado" }).enqueueMany(jobs);
  expect(sent.every(({ ok }) => ok)).toBe(true);
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(16);
});

test("an upload stays below in/, whatever id and name it is given", async () => {
  expect(await codeOf(client.upload(Buffer.from("x"), { id: "../results" }))).toBe("invalid_input");
  for (const name of ["..", "a/../..", ""])
    expect(await client.upload(Buffer.from("x"), { id: "u", name })).toMatch(
      /^s3:\/\/kamado\/in\/u\/[\da-f]{16}\/input$/,
    );
});

test("a queue that is not there is an error with its code and what to do", async () => {
  const gone = createClient({ ...clients, queueUrl: `${queueUrl}-gone`, bucket: bucket.name });
  await expect(gone.enqueue("prompt", { prompt: "?" })).rejects.toMatchObject({
    code: "queue_unavailable",
    hint: expect.stringContaining("create the queue"),
    retry: true,
  });
});

test("waiting ends with the result once it is stored, also that of a failed job", async () => {
  const job = await client.enqueue("prompt", { prompt: "hello" });
  const error = { code: "timed_out", message: "It took too long.", hint: "Ask for less." };
  const waited = await client.wait(job, {
    onPoll: () => store(job.id, { status: "failed", output: undefined, error, jobHash: job.jobHash }),
  });
  expect(waited).toMatchObject({ id: job.id, status: "failed", error });
  expect(waited).not.toHaveProperty("jobHash");
  await store("by-id");
  expect(((await client.wait("by-id")) as Result).output).toEqual({ text: "hello" });
});

test("waiting ends when its time is over, and says where the result will be", async () => {
  await expect(client.wait("never", { timeoutSeconds: 0 })).rejects.toMatchObject({
    code: "result_not_ready",
    message: "There is no result at s3://kamado/results/never.json after 0 seconds.",
    retry: true,
  });
});

test("waiting ends with the signal's reason, before and during a wait", async () => {
  const reason = new Error("enough");
  expect(await codeOf(client.wait("never", { signal: AbortSignal.abort(reason) }))).toBe(reason);
  const controller = new AbortController();
  const waiting = client.wait("never", {
    signal: controller.signal,
    onPoll: () => void sleep(1).then(() => controller.abort(reason)),
  });
  expect(await codeOf(waiting)).toBe(reason);
});

test("the result of another job under the same id is not taken for this one's", async () => {
  const job = await client.enqueue("prompt", { prompt: "mine" }, { id: "shared" });
  await store("shared", { jobHash: jobHash({ kind: "prompt", input: { prompt: "another's" } }) });
  expect(await codeOf(client.wait(job))).toBe("duplicate_id");
});

test("waiting outlasts a store that does not answer, and tells of it when the time is over", async () => {
  let looks = 0;
  const s3 = faked<S3Client>((command) => {
    if (command.constructor.name === "GetObjectCommand" && ++looks === 1) throw awsError("SlowDown", 503);
    return clients.s3.send(command as never);
  });
  const slow = createClient({ sqs: clients.sqs, s3, queueUrl, bucket: bucket.name });
  await store("after-outage");
  expect(await slow.wait("after-outage")).toMatchObject({ status: "succeeded" });
  looks = 0;
  expect(await codeOf(slow.wait("after-outage", { timeoutSeconds: 0 }))).toBe("storage_unavailable");
});

test.each([
  ["may list but not read", true, "object_forbidden", 1],
  // S3 answers so of an object that is not there yet, too.
  ["may neither list nor read", false, "object_forbidden", 2],
])("a sender that %s is told which right is missing", async (_, mayList, code, looks) => {
  let polls = 1;
  const s3 = faked<S3Client>((command) => {
    if (command.constructor.name === "ListObjectsV2Command" && mayList)
      return { KeyCount: 0, IsTruncated: false };
    throw awsError("AccessDenied", 403);
  });
  const denied = createClient({ sqs: clients.sqs, s3, queueUrl, bucket: bucket.name });
  const waiting = denied.wait("secret", { timeoutSeconds: 0.2, onPoll: () => polls++ });
  await expect(waiting).rejects.toMatchObject({
    code,
    hint: expect.stringContaining("s3:GetObject on results/*"),
  });
  expect(polls).toBeGreaterThanOrEqual(looks);
  if (mayList) expect(polls).toBe(1);
});

test("a bucket that is not there ends the waiting at once", async () => {
  const lost = createClient({ ...clients, queueUrl, bucket: "no-such-bucket" });
  const waiting = lost.wait("x");
  await expect(waiting).rejects.toMatchObject({
    code: "storage_unavailable",
    hint: expect.stringContaining("create the bucket"),
  });
});

test("a cancellation is there for the workers; a job that has ended stays as it is", async () => {
  const job = await client.enqueue("prompt", { prompt: "?" }, { id: "to-cancel" });
  expect(await client.cancel(job)).toMatchObject({ is: "waiting" });
  expect(await bucket.exists("cancel/to-cancel")).toBe(true);
  await store("ended");
  expect(await client.cancel("ended")).toEqual({ is: "ended", status: "succeeded" });
  expect(await codeOf(client.cancel("../x"))).toBe("invalid_input");
});

test("without a bucket small jobs can be sent; what needs it says so", async () => {
  const poor = createClient({ ...clients, queueUrl });
  const { id } = await poor.enqueue("prompt", { prompt: "small" });
  expect((await bodies()).map((body) => jobOf(body).id)).toEqual([id]);
  const refused = {
    code: "config_invalid",
    message: expect.stringMatching(/^bucket: name the worker's bucket to/),
  };
  await expect(poor.enqueue("article.extract", { text: "x".repeat(1_000_000) })).rejects.toMatchObject(
    refused,
  );
  await expect(poor.enqueue("image.check", { image: Buffer.from("a"), question: "?" })).rejects.toMatchObject(
    refused,
  );
  await expect(poor.wait(id)).rejects.toMatchObject(refused);
  await expect(poor.cancel(id)).rejects.toMatchObject(refused);
});

test.each([undefined, "", "kamado-jobs"])("a queue's address that is none is refused: %s", (url) => {
  expect(() => createClient({ queueUrl: url as string })).toThrowError(/^queueUrl: expected the address/);
});

test("close ends the clients that it made, and not those that it was given", async () => {
  let destroyed = 0;
  const s3 = Object.assign(new S3Client({ region: "x" }), { destroy: () => destroyed++ });
  createClient({ queueUrl, s3, region: "us-east-1" }).close();
  expect(destroyed).toBe(0);
  client.close();
  await client.enqueue("prompt", { prompt: "still open" });
});

test("a trace goes beside the job, one by one and many at once, where any worker finds it", async () => {
  const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const input = { image: "https://a.example/a.png", question: "?" };
  await client.enqueue("image.check", input, { traceparent, tracestate: "vendor=1" });
  await client.enqueueMany([
    { kind: "image.check", input, traceparent },
    { kind: "image.check", input },
  ]);
  const queue = sqsQueue(clients.sqs, queueUrl);
  const messages = await queue.receive({ max: 10, waitSeconds: 1, visibilitySeconds: 60 });
  const traces = messages.map(({ trace }) => trace);
  expect(traces).toHaveLength(3);
  expect(traces).toEqual(
    expect.arrayContaining([{ traceparent, tracestate: "vendor=1" }, { traceparent }, undefined]),
  );
  expect(messages.filter(({ body }) => body.includes("traceparent"))).toEqual([]);
});

test("a trace that no worker could read is refused", async () => {
  const input = { image: "https://a.example/a.png", question: "?" };
  for (const trace of [{ traceparent: "abc" }, { traceparent: "" }, { tracestate: "vendor=1" }])
    await expect(client.enqueue("image.check", input, trace)).rejects.toMatchObject({
      code: "invalid_input",
      message: expect.stringMatching(/^trace(parent|state): /),
    });
  expect(await bodies()).toEqual([]);
});
