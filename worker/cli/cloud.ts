// Which AWS a command talks to: the one the configuration names, or a `kamado serve` on this machine.

import type { Cloud } from "../aws/resources.ts";
import { queueUrl, topicArn } from "../aws/resources.ts";
import type { AwsKeys, Config } from "../config/config.ts";
import { KamadoError } from "../errors.ts";
import type { LocalAws } from "../local/local-aws.ts";

/** The configured cloud. Throws `config_invalid` without a queue. */
export function cloudOf(config: Config): Cloud {
  if (config.queueUrl === undefined)
    throw new KamadoError(
      "config_invalid",
      "KAMADO_QUEUE_URL: name the queue to work on, or use `kamado serve`, which brings its own.",
    );
  const deadQueueUrl = config.deadQueueUrl ?? deadOf(config.queueUrl);
  return {
    aws: {
      region: config.aws.region,
      ...(config.aws.endpoint !== undefined && { endpoint: config.aws.endpoint }),
      ...(config.aws.credentials && { credentials: keysOf(config.aws.credentials) }),
    },
    queueUrl: config.queueUrl,
    queues: config.queues,
    deadQueueUrl,
    deliveriesQueueUrl: config.deliveriesQueueUrl,
    // Refused deliveries have a place of their own when there is one; lost they are never.
    deadDeliveriesQueueUrl: config.deadDeliveriesQueueUrl ?? deadQueueUrl,
    topicArn: config.topicArn,
  };
}

/** `jobs-dead` of `jobs`; a FIFO queue's name keeps its ending, and its dead letters are FIFO too. */
export const deadOf = (url: string) => url.replace(/(\.fifo)?$/, "-dead$1");

function keysOf({ accessKeyId, secretAccessKey, sessionToken }: AwsKeys) {
  return {
    accessKeyId,
    secretAccessKey: secretAccessKey.reveal(),
    ...(sessionToken && { sessionToken: sessionToken.reveal() }),
  };
}

/** The configured cloud, else the embedded one of a `kamado serve` that runs on this machine. */
export function cloudOrLocal(config: Config): Cloud {
  if (config.queueUrl !== undefined) return cloudOf(config);
  const endpoint = `http://127.0.0.1:${config.localPort}`;
  return {
    aws: { endpoint, region: "us-east-1", credentials: { accessKeyId: "test", secretAccessKey: "test" } },
    queueUrl: queueUrl(endpoint, "kamado-jobs"),
    deadQueueUrl: queueUrl(endpoint, "kamado-jobs-dead"),
    deliveriesQueueUrl: queueUrl(endpoint, "kamado-deliveries"),
    deadDeliveriesQueueUrl: queueUrl(endpoint, "kamado-deliveries-dead"),
    topicArn: topicArn(),
  };
}

/** The cloud that was started here. */
export function localCloud({ endpoint, region, credentials, resources }: LocalAws): Cloud {
  return {
    aws: { endpoint, region, credentials },
    queueUrl: resources.jobsQueueUrl,
    deadQueueUrl: resources.deadQueueUrl,
    deliveriesQueueUrl: resources.deliveriesQueueUrl,
    deadDeliveriesQueueUrl: resources.deadDeliveriesQueueUrl,
    topicArn: resources.topicArn,
  };
}
