// One kind over many inputs with `kamado/client`, on the embedded AWS: order, bounds, retries, and what a second map finds done.
import { setTimeout as sleep } from "node:timers/promises";
import { CreateQueueCommand } from "@aws-sdk/client-sqs";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { type Client, createClient, type MapOptions, type Mapped } from "../../client/client.ts";
import { type AwsClients, makeAwsClients } from "../../worker/aws/clients.ts";
import { type Job, parseBody } from "../../worker/job/envelope.ts";
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
let stop: AbortController;
/** The jobs that the worker got, in the order in which it got them. */
let got: Job[];
/** What becomes of a job; undefined: it has no result yet. */
let answer: (job: Job) => object | undefined;

beforeAll(async () => {
  aws = await startLocalAws({ port: 0 });
  clients = makeAwsClients(aws);
  bucket = s3Bucket(clients.s3, aws.resources.bucket);
});
afterAll(async () => {
  clients.destroy();
  await aws.stop();
});
beforeEach(async () => {
  const { QueueUrl } = await clients.sqs.send(new CreateQueueCommand({ QueueName: `map-${++serial}` }));
  queueUrl = QueueUrl!;
  client = createClient({ ...clients, queueUrl, bucket: bucket.name });
  stop = new AbortController();
  got = [];
  answer = ({ input }) => ({ output: { text: promptOf(input) } });
  void work(stop.signal, got);
});
afterEach(() => stop.abort());

const promptOf = (input: unknown) => (input as { prompt: string }).prompt;

/** As a worker does it, a job at a time: what has a result does not run again. */
async function work(signal: AbortSignal, all: Job[]): Promise<void> {
  const queue = sqsQueue(clients.sqs, queueUrl);
  while (!signal.aborted) {
    for (const { body } of await queue.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 60 })) {
      const parsed = parseBody(body, { messageId: "m", rules: [] });
      if (parsed.is !== "job") throw new Error(`no job: ${body}`);
      all.push(parsed.job);
      const end = signal.aborted ? undefined : answer(parsed.job);
      if (end) await store(parsed.job, end);
    }
    await sleep(5);
  }
}

const store = (job: Job, more: object) =>
  bucket.put(
    `results/${job.id}.json`,
    JSON.stringify({
      ...{ id: job.id, kind: job.kind, status: "succeeded", receipt: { attempts: 1 } },
      ...{ jobHash: jobHash(job), ...more },
    }),
    { contentType: "application/json" },
  );
const failed = (code: string) => ({ status: "failed", error: { code, message: "no" } });

async function all(inputs: Given, options?: MapOptions): Promise<Mapped[]> {
  const found: Mapped[] = [];
  for await (const one of map(inputs, options)) found.push(one as Mapped);
  return found;
}
type Given = Iterable<unknown> | AsyncIterable<unknown>;
/** Ids of its own for each test. */
const map = (inputs: Given, options?: MapOptions) =>
  client.map("prompt", inputs as never, { idPrefix: `test${serial}`, ...options });
const prompts = (count: number) => Array.from({ length: count }, (_, at) => ({ prompt: `p${at}` }));
const texts = (found: readonly Mapped[]) =>
  found.map(({ result, error }) => (result ? (result.output as { text: string })?.text : error!.code));

test("results come in the order of the inputs, whichever job ends first", async () => {
  const late: Job[] = [];
  answer = (job) => {
    if (promptOf(job.input) !== "p0") return { output: { text: promptOf(job.input) } };
    late.push(job);
    return undefined;
  };
  const progress: number[] = [];
  const running = all(prompts(30), {
    concurrency: 8,
    onProgress: ({ done }) => {
      progress.push(done);
      if (done === 29) void store(late[0]!, { output: { text: "at last" } });
    },
  });
  const found = await running;
  expect(texts(found)).toEqual(["at last", ...prompts(30).slice(1).map(promptOf)]);
  expect(found.map(({ index }) => index)).toEqual(prompts(30).map((_, at) => at));
  expect(progress.at(-1)).toBe(30);
});

test("no more jobs are on the queue than was asked for, and inputs are read only when there is room for them", async () => {
  let read = 0;
  function* endless() {
    for (;;) yield { prompt: `p${read++}` };
  }
  answer = () => undefined;
  const results = map(endless(), { concurrency: 8 });
  const first = results.next();
  while (got.length < 8) await sleep(5);
  await sleep(50);
  expect([got.length, read]).toEqual([8, 8]);
  answer = ({ input }) => ({ output: { text: promptOf(input) } });
  // The first takes long: no more than a bounded number is done behind it.
  for (const job of got.slice(1)) await store(job, { output: { text: "x" } });
  while (read < 64) await sleep(5);
  await sleep(50);
  expect(read).toBe(64);
  await store(got[0]!, { output: { text: "first" } });
  expect(((await first).value as Mapped).result!.output).toEqual({ text: "first" });
  await results.return(undefined);
});

test("an input that cannot be sent, and a job that fails, cost only themselves", async () => {
  answer = ({ input }) => (promptOf(input) === "bad" ? failed("invalid_input") : { output: { text: "ok" } });
  const found = await all([
    { prompt: "good" },
    new Map(),
    { input: { prompt: "bad" }, source: "row 3" },
    { prompt: "b" },
  ]);
  expect(texts(found)).toEqual(["ok", "invalid_input", undefined, "ok"]);
  expect(found[2]).toMatchObject({
    index: 2,
    source: "row 3",
    result: { status: "failed", error: { code: "invalid_input" } },
  });
  expect(got).toHaveLength(3);
});

test("what the inputs throw is thrown after the results of those before it", async () => {
  async function* broken() {
    yield { prompt: "a" };
    throw new Error("the file ends here");
  }
  const results = map(broken());
  expect(texts([(await results.next()).value as Mapped])).toEqual(["a"]);
  await expect(results.next()).rejects.toThrow("the file ends here");
});

test("a job that failed for a reason that may pass is tried again, under another id; others are not", async () => {
  answer = ({ id, input }) => {
    if (promptOf(input) === "never") return failed("answer_invalid");
    return id.endsWith("-2") ? { output: { text: "the second time" } } : failed("attempts_exhausted");
  };
  const found = await all([{ prompt: "later" }, { prompt: "never" }]);
  expect(found.map(({ result }) => result!.status)).toEqual(["succeeded", "failed"]);
  expect(found[0]!.id).toMatch(/-2$/);
  expect(got).toHaveLength(3);
});

test("a job is given up after the tries that were asked for", async () => {
  answer = () => failed("engine_unavailable");
  const [found] = await all([{ prompt: "a" }], { retries: 1 });
  expect([found!.result!.error!.code, got.length]).toEqual(["engine_unavailable", 2]);
});

test("a call that fails and may pass is made again", async () => {
  let calls = 0;
  const sqs = {
    send: (command: never, more: never) =>
      ++calls === 1
        ? Promise.reject(
            Object.assign(new Error("x"), { name: "ServiceUnavailable", $metadata: { httpStatusCode: 503 } }),
          )
        : clients.sqs.send(command, more),
    destroy() {},
  };
  client = createClient({ ...clients, sqs: sqs as never, queueUrl, bucket: bucket.name });
  expect(texts(await all([{ prompt: "a" }]))).toEqual(["a"]);
  expect([calls, got.length]).toEqual([2, 1]);
});

test("the same inputs have the same ids: a second map uses what succeeded, and tries again what failed", async () => {
  const image = new File([new Uint8Array([1, 2, 3])], "door.png");
  const inputs = [{ prompt: "a" }, { prompt: "b", image }, { prompt: "fails" }];
  answer = ({ input }) =>
    promptOf(input) === "fails" ? failed("answer_invalid") : { output: { text: promptOf(input) } };
  const one = await all(inputs);
  expect(one.map(({ reused }) => reused)).toEqual([false, false, false]);
  answer = ({ input }) => ({ output: { text: promptOf(input) } });
  const two = await all([{ image, prompt: "b" }, ...inputs.slice(2), { prompt: "a" }]);
  expect(two.map(({ reused }) => reused)).toEqual([true, false, true]);
  expect(two.map(({ id }) => id)).toEqual([one[1]!.id, `${one[2]!.id}-2`, one[0]!.id]);
  expect(got.map(({ input }) => promptOf(input)).toSorted()).toEqual(["a", "b", "fails", "fails"]);
});

test.each([
  ["a longer content", { prompt: "a", image: new Uint8Array([1, 2, 4]) }, {}],
  ["another date", { prompt: new Date(1) }, {}],
  ["another model", { prompt: "a", image: new Uint8Array([1, 2, 3]) }, { policy: { model: "other" } }],
  ["another prefix", { prompt: "a", image: new Uint8Array([1, 2, 3]) }, { idPrefix: "other" }],
])("an input with %s is another job", async (_, input, options) => {
  answer = () => ({ output: { text: "" } });
  const [one] = await all([{ prompt: "a", image: new Uint8Array([1, 2, 3]) }]);
  const [other] = await all([input], options as MapOptions);
  expect([other!.reused, other!.id === one!.id]).toEqual([false, false]);
});

test("an id of one's own that another job has gets nothing of it", async () => {
  const id = `own-${serial}`;
  await all([{ input: { prompt: "a" }, id }]);
  const [same, other] = await all([
    { input: { prompt: "a" }, id },
    { input: { prompt: "b" }, id },
  ]);
  expect([same!.id, same!.reused, other!.error?.code]).toEqual([id, true, "duplicate_id"]);
});

test("an input that is there twice runs once", async () => {
  answer = (job) => (got.length < 2 ? { output: { text: "a" } } : { output: { text: promptOf(job.input) } });
  expect(texts(await all([{ prompt: "a" }, { prompt: "a" }]))).toEqual(["a", "a"]);
  expect(new Set(got.map(({ id }) => id)).size).toBe(1);
});

test.each([[true], [false]])(
  "a signal ends it at once; what has no result yet is canceled if that was asked for (%s)",
  async (cancelOnEnd) => {
    answer = () => undefined;
    const ended = new AbortController();
    const running = all(prompts(50), { concurrency: 4, signal: ended.signal, cancelOnEnd });
    while (got.length < 4) await sleep(5);
    ended.abort(new Error("enough"));
    await expect(running).rejects.toThrow("enough");
    const canceled = (await bucket.list(`cancel/test${serial}`)).map(({ key }) => key.replace("cancel/", ""));
    expect(canceled.toSorted()).toEqual(cancelOnEnd ? got.map(({ id }) => id).toSorted() : []);
    expect(got).toHaveLength(4);
  },
);

test("what an earlier map canceled runs again under another id, before the worker has seen that it was canceled", async () => {
  answer = () => undefined;
  const ended = new AbortController();
  const inputs = [{ prompt: "a" }, { input: { prompt: "b" }, id: `own-b${serial}` }];
  const running = all(inputs, { signal: ended.signal, cancelOnEnd: true });
  while (got.length < 2) await sleep(5);
  ended.abort(new Error("enough"));
  await expect(running).rejects.toThrow("enough");
  answer = ({ input }) => ({ output: { text: promptOf(input) } });
  const again = await all(inputs);
  expect(texts(again)).toEqual(["a", "b"]);
  expect(again.map(({ id }) => id)).toEqual([expect.stringMatching(/-2$/), `own-b${serial}-2`]);
});

test("without a time limit it waits; with one, the job that takes longer says so and the others have their results", async () => {
  answer = ({ input }) => (promptOf(input) === "slow" ? undefined : { output: { text: "quick" } });
  const found = await all([{ prompt: "slow" }, { prompt: "b" }], { timeoutSeconds: 0.2 });
  expect(texts(found)).toEqual(["result_not_ready", "quick"]);
});

test("what no waiting would change is thrown before anything is read or sent", async () => {
  client = createClient({ ...clients, queueUrl, bucket: "not-there" });
  let read = 0;
  const inputs = (function* () {
    yield { prompt: `${read++}` };
  })();
  await expect(all(inputs)).rejects.toMatchObject({ code: "storage_unavailable" });
  client = createClient({ ...clients, queueUrl });
  await expect(all(prompts(1))).rejects.toMatchObject({ code: "config_invalid" });
  expect(read).toBe(0);
});
