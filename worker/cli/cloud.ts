// Which AWS a command uses: the configured one, or that of a `kamado serve` on this machine.
import type { Cloud } from "../aws/resources.ts";
import { queueUrl, topicArn } from "../aws/resources.ts";
import type { AwsKeys, Config } from "../config/config.ts";
import { KamadoError } from "../errors.ts";
import type { LocalAws } from "../local/local-aws.ts";

/** The configured AWS. Throws `config_invalid` when no queue is configured. */
export function cloudOf(config: Config): Cloud {
  if (config.queueUrl === undefined)
    throw new KamadoError(
      "config_invalid",
      "KAMADO_QUEUE_URL: set the queue to work on, or run `kamado serve`, which has a queue of its own.",
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
    // Without a dead-letter queue of their own, refused deliveries go to that of the jobs: none is ever lost.
    deadDeliveriesQueueUrl: config.deadDeliveriesQueueUrl ?? deadQueueUrl,
    topicArn: config.topicArn,
  };
}

/** `jobs-dead` for `jobs`, and `jobs-dead.fifo` for `jobs.fifo`: a FIFO queue needs a FIFO dead-letter queue. */
export const deadOf = (url: string) => url.replace(/(\.fifo)?$/, "-dead$1");

function keysOf({ accessKeyId, secretAccessKey, sessionToken }: AwsKeys) {
  return {
    accessKeyId,
    secretAccessKey: secretAccessKey.reveal(),
    ...(sessionToken && { sessionToken: sessionToken.reveal() }),
  };
}

/** The configured AWS, or else that of a `kamado serve` on this machine. */
export function cloudOrLocal(config: Config): Cloud {
  if (config.queueUrl !== undefined) return cloudOf(config);
  const endpoint = `http://127.0.0.1:${config.localPort}`;
  const key = config.localKey?.reveal() ?? "test";
  return {
    aws: { endpoint, region: "us-east-1", credentials: { accessKeyId: key, secretAccessKey: key } },
    queueUrl: queueUrl(endpoint, "kamado-jobs"),
    deadQueueUrl: queueUrl(endpoint, "kamado-jobs-dead"),
    deliveriesQueueUrl: queueUrl(endpoint, "kamado-deliveries"),
    deadDeliveriesQueueUrl: queueUrl(endpoint, "kamado-deliveries-dead"),
    topicArn: topicArn(),
  };
}

/** The embedded AWS that this process started. */
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
