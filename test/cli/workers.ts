// Starts `kamado worker` processes on an embedded AWS. Each test gets its own AWS, and no process outlives its test.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { afterEach, beforeEach } from "vitest";
import { type AwsClients, makeAwsClients } from "../../worker/aws/clients.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";
import type { Queue } from "../../worker/queue/queue.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { createResults, type Results } from "../../worker/storage/results.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { kamado, SCRIPTED } from "./process.ts";

export type Worker = { child: ChildProcess; exited: Promise<unknown[]>; log(): string };

type How = { flags?: string[]; installation?: string };

export type Setup = {
  aws: LocalAws;
  clients: AwsClients;
  queue: Queue;
  results: Results;
  /** `installation`: the folder of another Kamado. */
  start(variables: Record<string, string>, how?: How): Worker;
  /** Sends a job of the kind `prompt` with this id. */
  send(id: string): Promise<string>;
};

/** Call it at the top of a test file. It returns a function that gives the setup of the test that runs. */
export function setUpWorkers(): () => Setup {
  const workers: Worker[] = [];
  let setup: Setup;
  beforeEach(async () => {
    const aws = await startLocalAws({ port: 0 });
    const clients = makeAwsClients(aws);
    const queue = sqsQueue(clients.sqs, aws.resources.jobsQueueUrl);
    const results = createResults(s3Bucket(clients.s3, aws.resources.bucket));
    const start = (variables: Record<string, string>, how: How = {}) => {
      const worker = startWorker(aws, variables, how);
      workers.push(worker);
      return worker;
    };
    const send = (id: string) => queue.send(JSON.stringify({ id, kind: "prompt", input: { prompt: id } }));
    setup = { aws, clients, queue, results, start, send };
  });
  afterEach(async () => {
    for (const { child, exited } of workers.splice(0)) {
      child.kill("SIGKILL");
      await exited;
    }
    setup.clients.destroy();
    await setup.aws.stop();
  });
  return () => setup;
}

function startWorker(
  { endpoint, resources }: LocalAws,
  variables: Record<string, string>,
  { flags = [], installation }: How,
): Worker {
  const own = {
    ...SCRIPTED,
    AWS_ENDPOINT_URL: endpoint,
    AWS_ACCESS_KEY_ID: "any",
    AWS_SECRET_ACCESS_KEY: "thing",
    KAMADO_QUEUE_URL: resources.jobsQueueUrl,
    KAMADO_TOPIC_ARN: resources.topicArn,
    KAMADO_LOG_LEVEL: "info",
    ...variables,
  };
  const child = kamado(["worker", ...flags], own, { ...(installation !== undefined && { installation }) });
  let log = "";
  for (const stream of [child.stdout!, child.stderr!])
    stream.setEncoding("utf8").on("data", (text) => (log += text));
  return { child, exited: once(child, "exit"), log: () => log };
}
