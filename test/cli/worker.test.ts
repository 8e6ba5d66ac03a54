// `kamado worker` as a process among others on one queue: stopped, killed, and another takes over. Nothing is lost.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { makeAwsClients } from "../../worker/aws.ts";
import { s3Blobs } from "../../worker/blobs/s3.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";
import type { Queue } from "../../worker/queue/queue.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { createResults, type Results } from "../../worker/run/results.ts";
import { kamado, SCRIPTED } from "./process.ts";

let aws: LocalAws;
let queue: Queue;
let results: Results;
let clients: ReturnType<typeof makeAwsClients>;
const workers: Worker[] = [];

beforeEach(async () => {
  aws = await startLocalAws({ port: 0 });
  clients = makeAwsClients(aws);
  queue = sqsQueue(clients.sqs, aws.resources.jobsQueueUrl);
  results = createResults({ blobs: s3Blobs(clients.s3), bucket: aws.resources.bucket });
});
afterEach(async () => {
  for (const worker of workers.splice(0)) {
    worker.child.kill("SIGKILL");
    await worker.exited;
  }
  clients.destroy();
  await aws.stop();
});

type Worker = { child: ChildProcess; exited: Promise<unknown[]>; log(): string };

function startWorker(variables: Record<string, string>): Worker {
  const child = kamado(["worker"], {
    ...SCRIPTED,
    AWS_ENDPOINT_URL: aws.endpoint,
    AWS_ACCESS_KEY_ID: "any",
    AWS_SECRET_ACCESS_KEY: "thing",
    KAMADO_QUEUE_URL: aws.resources.jobsQueueUrl,
    KAMADO_TOPIC_ARN: aws.resources.topicArn,
    KAMADO_LOG_LEVEL: "info",
    ...variables,
  });
  let log = "";
  child.stdout!.setEncoding("utf8").on("data", (text) => (log += text));
  child.stderr!.setEncoding("utf8").on("data", (text) => (log += text));
  const worker = { child, exited: once(child, "exit"), log: () => log };
  workers.push(worker);
  return worker;
}

const send = (id: string) => queue.send(JSON.stringify({ id, kind: "prompt", input: { prompt: id } }));
const done = async (ids: string[]) => {
  const found = await Promise.all(ids.map((id) => results.find(id)));
  return ids.filter((_, index) => found[index]?.status === "succeeded");
};
const LONG = { timeout: 40_000, interval: 100 };

describe("SIGTERM in the middle of work", () => {
  test("finishes what runs, gives back the rest at once, exits 0 within the deadline; another does the rest", async () => {
    const first = startWorker({
      KAMADO_SLOTS: "1",
      KAMADO_PREFETCH: "4",
      KAMADO_DRAIN_SECONDS: "10",
      KAMADO_SCRIPT: '{"waitMs": 2000}',
    });
    for (const id of ["a", "b", "c"]) await send(id);
    await expect.poll(() => first.log().match(/"station":"received"/g)?.length ?? 0, LONG).toBe(1);
    first.child.kill("SIGTERM");
    expect((await first.exited)[0]).toBe(0);
    expect(await done(["a", "b", "c"])).toHaveLength(1);
    const others = await queue.receive({ max: 10, waitSeconds: 0, visibilitySeconds: 0 });
    expect(others).toHaveLength(2);

    startWorker({});
    await expect.poll(() => done(["a", "b", "c"]), LONG).toEqual(["a", "b", "c"]);
  }, 60_000);

  test("past the deadline cuts the work; the job is another worker's next", async () => {
    const first = startWorker({ KAMADO_DRAIN_SECONDS: "1", KAMADO_SCRIPT: '{"rules": [{"do": "hang"}]}' });
    await send("a");
    await expect.poll(() => first.log(), LONG).toContain('"station":"received"');
    first.child.kill("SIGTERM");
    expect((await first.exited)[0]).toBe(0);
    expect(await done(["a"])).toEqual([]);
    startWorker({});
    await expect.poll(() => done(["a"]), LONG).toEqual(["a"]);
  }, 60_000);
});

test("Ctrl-C reaches every process of the group; the engine still finishes what runs", async () => {
  const first = startWorker({ KAMADO_SCRIPT: '{"waitMs": 1500}' });
  // Two questions one after the other: which todo, and, as it is new, its title.
  const input = { text: "buy tea", todos: [{ id: 1, title: "pay the rent" }] };
  await queue.send(JSON.stringify({ id: "a", kind: "todo.match", input }));
  await expect.poll(() => first.log(), LONG).toContain('"station":"received"');
  process.kill(-first.child.pid!, "SIGINT");
  expect((await first.exited)[0]).toBe(0);
  expect(await done(["a"])).toEqual(["a"]);
}, 60_000);

test("SIGKILL loses nothing: the jobs come back when their visibility ends, and no engine stays behind", async () => {
  const first = startWorker({ KAMADO_VISIBILITY_SECONDS: "3", KAMADO_SCRIPT: '{"rules": [{"do": "hang"}]}' });
  for (const id of ["a", "b"]) await send(id);
  await expect.poll(() => first.log().match(/"station":"received"/g)?.length ?? 0, LONG).toBe(2);
  const enginePort = /"engine":"(http:[^"]+)"/.exec(first.log())?.[1];
  first.child.kill("SIGKILL");
  await first.exited;
  await expect
    .poll(
      () =>
        fetch(`${enginePort}/health`).then(
          () => "answers",
          () => "gone",
        ),
      LONG,
    )
    .toBe("gone");
  startWorker({});
  await expect.poll(() => done(["a", "b"]), LONG).toEqual(["a", "b"]);
}, 60_000);

test("an engine that dies costs the job that killed it a retry; the others are done", async () => {
  const worker = startWorker({ KAMADO_SCRIPT: '{"rules": [{"when": "bad", "do": "crash"}]}' });
  await send("bad");
  await expect.poll(() => worker.log(), LONG).toContain("engine_unavailable");
  await send("good");
  await expect.poll(() => done(["good"]), LONG).toEqual(["good"]);
  expect(worker.child.exitCode).toBeNull();
}, 60_000);
