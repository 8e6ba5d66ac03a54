// The worker as a process of its own on the embedded AWS, and how a backlog is sent to it.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { SendMessageBatchCommand, type SQSClient } from "@aws-sdk/client-sqs";
import { HOME } from "../worker/config/config.ts";
import { KamadoError } from "../worker/errors.ts";
import type { LocalAws } from "../worker/local/local-aws.ts";
import { type Guarded, startGuarded } from "./guarded-process.ts";
import type { Session } from "./session.ts";

export type WorkerOptions = {
  local: Omit<LocalAws, "stop">;
  /** The folder of the version of Kamado that works. [this one] */
  home?: string;
  /** Without it, `variables` say what the worker's own engine runs. */
  engineUrl?: string;
  slots: number;
  /** Where results are delivered, on this machine. */
  receiverUrl: string;
  /** Further addresses on this machine to which results are delivered. */
  otherReceivers?: readonly string[];
  /** Further variables. */
  variables?: Readonly<Record<string, string>>;
  /** An empty folder. */
  folder: string;
  /** The port of its page. Any free one by default. */
  webPort?: number;
  /** [the worker's own default] */
  visibilitySeconds?: number;
};

/** Runs with the defaults of `kamado worker` except for what is set here. */
export async function startWorker(options: WorkerOptions, session: Session): Promise<Guarded> {
  const worker = await startGuarded(
    process.execPath,
    [join(options.home ?? HOME, "worker/cli/start.mjs"), "worker"],
    environmentOf(options),
  );
  void worker.exited.then((output) =>
    session.end(new KamadoError("handler_failed", `The worker ended.\n${output}`)),
  );
  return worker;
}

function environmentOf(options: WorkerOptions): NodeJS.ProcessEnv {
  const { local, engineUrl, slots, receiverUrl, folder, webPort = 0, visibilitySeconds } = options;
  const destinations = join(folder, "destinations.json");
  const receivers = [receiverUrl, ...(options.otherReceivers ?? [])];
  writeFileSync(destinations, JSON.stringify(receivers.map((match) => ({ match, allowPrivate: true }))));
  return {
    PATH: process.env.PATH,
    HOME: folder,
    AWS_ENDPOINT_URL: local.endpoint,
    AWS_REGION: local.region,
    AWS_ACCESS_KEY_ID: local.credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: local.credentials.secretAccessKey,
    KAMADO_QUEUE_URL: local.resources.jobsQueueUrl,
    KAMADO_DELIVERIES_QUEUE_URL: local.resources.deliveriesQueueUrl,
    KAMADO_DESTINATIONS_FILE: destinations,
    ...(engineUrl !== undefined && { KAMADO_ENGINE_URL: engineUrl }),
    KAMADO_SLOTS: String(slots),
    KAMADO_WEB_PORT: String(webPort),
    KAMADO_DATA_DIR: folder,
    KAMADO_LOG_LEVEL: "warn",
    ...(visibilitySeconds !== undefined && { KAMADO_VISIBILITY_SECONDS: String(visibilitySeconds) }),
    ...options.variables,
  };
}

const BATCH = 10;
const LANES = 8;

/** Sends all jobs, ten in each call as SQS allows, with several calls in parallel. */
export async function sendAll(sqs: SQSClient, queueUrl: string, jobs: readonly object[]): Promise<void> {
  const batches = Array.from({ length: Math.ceil(jobs.length / BATCH) }, (_, at) =>
    jobs.slice(at * BATCH, (at + 1) * BATCH),
  );
  const send = async (batch: readonly object[]) => {
    const Entries = batch.map((job, index) => ({ Id: String(index), MessageBody: JSON.stringify(job) }));
    const { Failed = [] } = await sqs.send(new SendMessageBatchCommand({ QueueUrl: queueUrl, Entries }));
    if (Failed.length > 0) throw new Error(`SQS refused ${Failed.length} messages: ${Failed[0]!.Message}`);
  };
  const lane = async () => {
    for (let batch = batches.shift(); batch; batch = batches.shift()) await send(batch);
  };
  await Promise.all(Array.from({ length: LANES }, lane));
}
