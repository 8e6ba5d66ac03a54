// A worker as configured, with all that it speaks to on this machine: the embedded AWS, an engine and a receiver that are stubs and record
// what they are asked.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient } from "../../client/client.ts";
import type { Cloud } from "../../worker/aws/resources.ts";
import { loadConfig } from "../../worker/config/config.ts";
import { type LocalAws, startLocalAws } from "../../worker/local/local-aws.ts";
import type { JobEvent } from "../../worker/logging/job-events.ts";
import { type Log, silentLog } from "../../worker/logging/log.ts";
import { type OpenWorker, openWorker } from "../../worker/main.ts";
import { type Receiver, startReceiver } from "../fakes/receiver.ts";

export type WholeWorker = AsyncDisposable & {
  worker: OpenWorker;
  client: Client;
  aws: LocalAws;
  engine: Receiver;
  receiver: Receiver;
  events: JobEvent[];
  /** Resolves when the job has ended. */
  ended(job: string): Promise<Extract<JobEvent, { stage: "ended" }>>;
};

const ANSWER = {
  model: "stub-model",
  choices: [{ message: { role: "assistant", content: "hello" }, finish_reason: "stop" }],
  usage: { prompt_tokens: 12, completion_tokens: 3, prompt_tokens_details: { cached_tokens: 4 } },
};

/** `settings`: as in the environment. */
export async function startWholeWorker(
  settings: Record<string, string> = {},
  { log = silentLog }: { log?: Log } = {},
): Promise<WholeWorker> {
  const aws = await startLocalAws({ port: 0 });
  const engine = await startReceiver(({ path }, response) => {
    const body =
      path === "/v1/models"
        ? { data: [{ id: "stub-model", owned_by: "kamado" }] }
        : path === "/health"
          ? { slots: { total: 2 } }
          : ANSWER;
    response.setHeader("content-type", "application/json").end(JSON.stringify(body));
  });
  const receiver = await startReceiver();
  const folder = mkdtempSync(join(tmpdir(), "kamado-whole-"));
  const destinations = join(folder, "destinations.json");
  writeFileSync(destinations, JSON.stringify([{ match: receiver.url, allowPrivate: true }]));
  const config = loadConfig(
    {
      KAMADO_ENGINE_URL: engine.url,
      KAMADO_DESTINATIONS_FILE: destinations,
      KAMADO_DATA_DIR: folder,
      KAMADO_POLL_SECONDS: "1",
      KAMADO_WORKER_NAME: "whole",
      ...settings,
    },
    {},
  );
  const worker = await openWorker(config, cloudOf(aws), async () => ({ url: engine.url }), log);
  const events: JobEvent[] = [];
  const waiting = new Map<string, (event: Extract<JobEvent, { stage: "ended" }>) => void>();
  worker.jobEvents.subscribe((event) => {
    events.push(event);
    if (event.stage === "ended") waiting.get(event.job)?.(event);
  });
  worker.start();
  const client = createClient({ queueUrl: aws.resources.jobsQueueUrl, bucket: aws.resources.bucket, ...aws });
  return {
    worker,
    client,
    aws,
    engine,
    receiver,
    events,
    ended: (job) => {
      const known = events.find((event) => event.stage === "ended" && event.job === job);
      if (known) return Promise.resolve(known as never);
      return new Promise((resolve) => waiting.set(job, resolve));
    },
    async [Symbol.asyncDispose]() {
      client.close();
      const stopped = worker.stop();
      aws.endPolls();
      await stopped;
      await Promise.all([engine.close(), receiver.close(), aws.stop()]);
    },
  };
}

const cloudOf = ({ endpoint, region, credentials, resources }: LocalAws): Cloud => ({
  aws: { endpoint, region, credentials },
  queueUrl: resources.jobsQueueUrl,
  deadQueueUrl: resources.deadQueueUrl,
  deliveriesQueueUrl: resources.deliveriesQueueUrl,
  deadDeliveriesQueueUrl: resources.deadDeliveriesQueueUrl,
  topicArn: resources.topicArn,
});
