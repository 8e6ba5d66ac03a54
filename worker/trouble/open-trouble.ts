// Puts the watch together from the worker's parts: whom it tells, and what it asks of AWS.
import type { SQSClient } from "@aws-sdk/client-sqs";
import type { Clock } from "../async/clock.ts";
import type { Cloud } from "../aws/resources.ts";
import type { Config } from "../config/config.ts";
import type { Topic } from "../deliver/sns.ts";
import type { Log } from "../logging/log.ts";
import type { Destinations } from "../outbound/destinations.ts";
import type { Outbound } from "../outbound/outbound.ts";
import { DisabledDestinations } from "../outbox/disabled-destinations.ts";
import { depthOf } from "../queue/whole-queue.ts";
import type { Bucket } from "../storage/bucket.ts";
import { type Channel, topicChannel, webhookChannel } from "./channels.ts";
import { type TroubleOptions, TroubleWatch } from "./trouble-watch.ts";

type Services = {
  config: Config;
  cloud: Cloud;
  sqs: SQSClient;
  topic: Topic;
  bucket: Bucket;
  destinations: Destinations;
  outbound: Outbound;
  clock: Clock;
  log: Log;
};

export function openTrouble(
  services: Services,
  { state, askEngine }: Pick<TroubleOptions, "state" | "askEngine">,
): TroubleWatch {
  const { config, cloud, sqs, bucket, clock, log } = services;
  const { deadQueueUrl, deadDeliveriesQueueUrl } = cloud;
  const disabled = new DisabledDestinations({ bucket, clock });
  const count = async (url: string) => {
    const { waiting, inFlight, delayed } = await depthOf(sqs, url);
    return waiting + inFlight + delayed;
  };
  return new TroubleWatch({
    state,
    askEngine,
    async countDead() {
      const isOne = deadDeliveriesQueueUrl === deadQueueUrl;
      const [jobs, deliveries] = await Promise.all([
        count(deadQueueUrl),
        isOne ? 0 : count(deadDeliveriesQueueUrl),
      ]);
      return { jobs, deliveries };
    },
    listOff: async () => (await disabled.all()).map(({ to }) => to),
    channels: channelsOf(services),
    dataDir: config.dataDir,
    clock,
    log,
  });
}

function channelsOf({ config, cloud, topic, ...shared }: Services): Channel[] {
  const { workerName: worker, trouble } = config;
  const { url, format } = trouble;
  return [
    ...(cloud.topicArn !== undefined && trouble.tellsTopic
      ? [topicChannel(topic, cloud.topicArn, worker)]
      : []),
    ...(url === undefined ? [] : [webhookChannel({ ...shared, url, format, worker })]),
  ];
}
