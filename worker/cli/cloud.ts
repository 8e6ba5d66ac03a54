// Which AWS a command uses: the configured one, or that of the Kamado that runs on this machine.
import type { Cloud } from "../aws/resources.ts";
import { queueUrl, topicArn } from "../aws/resources.ts";
import type { AwsKeys, Config } from "../config/config.ts";
import { KamadoError } from "../errors.ts";
import { whoListens } from "../http/who-listens.ts";
import type { LocalAws } from "../local/local-aws.ts";
import { type Found, findService, type Service, tokenOf } from "./running-service.ts";

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

export function keysOf({ accessKeyId, secretAccessKey, sessionToken }: AwsKeys) {
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

/** What a command works with: `config` has the bucket of what runs here, unless another is configured. */
export type Here = { config: Config; cloud: Cloud; found: Found };

/** Where the queues are: as configured, else where the Kamado that runs here has them. Throws `queue_unavailable` when none runs. */
export async function queuesHere(config: Config): Promise<Here> {
  const here = await cloudHere(config);
  if (config.queueUrl === undefined && (isNamed(config) || here.found.is !== "running"))
    await hasQueues(here.cloud.aws.endpoint!);
  return here;
}

/** The same for a command that may not need the queues at all. */
export async function cloudHere(config: Config): Promise<Here> {
  const found = await findService(config);
  if (isNamed(config) || found.is !== "running") return { config, cloud: cloudOrLocal(config), found };
  const { bucket } = found.service.cloud;
  const isSet = config.set.includes("KAMADO_BUCKET");
  const own = isSet ? config : { ...config, bucket, buckets: [...new Set([bucket, ...config.buckets])] };
  return { config: own, cloud: cloudOfService(found.service, config), found };
}

/** Whether the configuration says where the queues are, so that what runs here does not matter. */
const isNamed = ({ queueUrl, set, localPort }: Config) =>
  queueUrl !== undefined || (set.includes("KAMADO_LOCAL_PORT") && localPort !== 0);

function cloudOfService({ cloud }: Service, config: Config): Cloud {
  const { isLocal, endpoint, region, keyFile, bucket: _, ...rest } = cloud;
  const { deliveriesQueueUrl, topicArn, queues, ...urls } = rest;
  const key = tokenOf({ tokenFile: keyFile }, config.localKey)?.reveal() ?? "test";
  const own = config.aws.credentials && keysOf(config.aws.credentials);
  const credentials = isLocal ? { accessKeyId: key, secretAccessKey: key } : own;
  return {
    ...urls,
    ...(queues && { queues }),
    aws: { region, ...(endpoint !== undefined && { endpoint }), ...(credentials && { credentials }) },
    deliveriesQueueUrl,
    topicArn,
  };
}

async function hasQueues(endpoint: string): Promise<void> {
  const { is, words } = await whoListens(endpoint);
  if (is === "queues") return;
  const isFree = is === "nothing";
  throw new KamadoError(
    "queue_unavailable",
    isFree
      ? `No Kamado runs on this machine: nothing answers at ${endpoint}.`
      : `At ${endpoint}, where the queues of \`npm start\` would be, there is ${words}.`,
    {
      hint: isFree
        ? "Start it in another terminal with `npm start`, or set KAMADO_QUEUE_URL to the queue to use."
        : "Stop that program, or set KAMADO_LOCAL_PORT to a free port for `npm start` and all other commands (kamado.toml has it for all of them); or set KAMADO_QUEUE_URL to the queue to use.",
    },
  );
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
