// The environment of each worker: short leases and waits, so that what takes hours at home passes in minutes, and the proxy in
// place of AWS. Every variable is one that any user may set.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Aws } from "./aws.ts";
import type { Places } from "./jobs.ts";

/** How many answers a worker asks its engine for at the same time. */
export const SLOTS = 4;

type Options = {
  folder: string;
  /** The file in which the engines record their answers. */
  record: string;
  proxyUrl: string;
  places: Places;
  where: Aws["where"];
};

/** Long enough that a fault can hit an answer, short compared with the time between two faults. */
const ANSWER = { waitMs: 60, tokenMs: 5 };

export function environmentOf(options: Options): (index: number) => Record<string, string> {
  const destinations = join(options.folder, "destinations.json");
  writeFileSync(destinations, JSON.stringify(destinationsOf(options)));
  const script = join(options.folder, "script.json");
  writeFileSync(script, JSON.stringify(scriptOf(options.record)));
  const { resources, region, credentials } = options.where;
  const common = {
    AWS_ENDPOINT_URL: options.proxyUrl,
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    KAMADO_QUEUE_URL: resources.jobsQueueUrl,
    KAMADO_DEAD_QUEUE_URL: resources.deadQueueUrl,
    KAMADO_DELIVERIES_QUEUE_URL: resources.deliveriesQueueUrl,
    KAMADO_DEAD_DELIVERIES_QUEUE_URL: resources.deadDeliveriesQueueUrl,
    KAMADO_BUCKET: resources.bucket,
    KAMADO_TOPIC_ARN: resources.topicArn,
    KAMADO_DESTINATIONS_FILE: destinations,
    KAMADO_BACKEND: "scripted",
    KAMADO_SCRIPT: script,
    KAMADO_ENGINE_PORT: "0",
    KAMADO_WEB_PORT: "0",
    KAMADO_SLOTS: String(SLOTS),
    KAMADO_VISIBILITY_SECONDS: "6",
    KAMADO_POLL_SECONDS: "1",
    KAMADO_DRAIN_SECONDS: "5",
    KAMADO_RETRY_SECONDS: "1",
    KAMADO_DELIVERY_DELAYS: `0,${"1,1,2,2,3,3,".repeat(8)}5`,
    // Every kill costs an attempt of each job that ran. A good job must not fail for that.
    KAMADO_MAX_ATTEMPTS: "30",
  };
  return (index) => {
    const own = join(options.folder, `data-${index}`);
    mkdirSync(own, { recursive: true });
    return { ...common, KAMADO_DATA_DIR: own, KAMADO_WORKER_NAME: `worker-${index}` };
  };
}

function destinationsOf({ places, where }: Options): object[] {
  const all = [...places.receivers, where.endpoint];
  return all.map((match) => ({ match, allowPrivate: true }));
}

function scriptOf(record: string): object {
  return {
    record,
    ...ANSWER,
    rules: [
      // Long enough for the storm to see it begin and to kill the engine.
      { when: "engine-killed", waitMs: 1_500 },
      { when: "poison", do: "crash" },
      { when: "rent", logprobs: { 1: 0.95, new: 0.04 } },
    ],
  };
}
