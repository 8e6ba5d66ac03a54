// What each worker of a storm is told: short leases and waits, so that what takes hours passes in minutes, and the proxy for
// AWS. All of it is what any worker can be told.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Aws } from "./aws.ts";
import type { Places } from "./jobs.ts";

/** Answers that a worker asks for at once. */
export const SLOTS = 4;

export type Around = {
  folder: string;
  record: string;
  proxyUrl: string;
  places: Places;
  where: Aws["where"];
};

/** Long enough to be killed in, short beside the time between two kills. */
const ANSWER = { waitMs: 60, tokenMs: 5 };

export function variablesOf(around: Around): (index: number) => Record<string, string> {
  const destinations = join(around.folder, "destinations.json");
  writeFileSync(destinations, JSON.stringify(destinationsOf(around)));
  const script = join(around.folder, "script.json");
  writeFileSync(script, JSON.stringify(scriptOf(around.record)));
  const { resources, region, credentials } = around.where;
  const common = {
    AWS_ENDPOINT_URL: around.proxyUrl,
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
    // Each kill costs what a worker holds an attempt; those are not what a good job is to fail by.
    KAMADO_MAX_ATTEMPTS: "30",
  };
  return (index) => {
    const own = join(around.folder, `data-${index}`);
    mkdirSync(own, { recursive: true });
    return { ...common, KAMADO_DATA_DIR: own, KAMADO_WORKER_NAME: `worker-${index}` };
  };
}

function destinationsOf({ places, where }: Around): object[] {
  const all = [...places.receivers, where.endpoint];
  return all.map((match) => ({ match, allowPrivate: true }));
}

function scriptOf(record: string): object {
  return {
    record,
    ...ANSWER,
    rules: [
      // Time enough for the storm to see it begin.
      { when: "unlucky", waitMs: 1_500 },
      { when: "poison", do: "crash" },
      { when: "rent", logprobs: { 1: 0.95, new: 0.04 } },
    ],
  };
}
