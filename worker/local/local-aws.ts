// The embedded AWS: SQS, S3 and SNS on one loopback port, in memory or stored in a folder. This file starts and stops it;
// aws/create-resources.ts creates its resources. fauxqs.ts hides the emulator, guards.ts
// protects it from strangers, query-protocol.ts speaks the older protocol of queues, bucket-requests.ts and topic-requests.ts mend what the
// emulator reads wrong, unknown-requests.ts refuses what it does not do, data-folder.ts keeps its database.
import type { AddressInfo } from "node:net";
import { type AwsConfig, makeAwsClients } from "../aws/clients.ts";
import { createResources } from "../aws/create-resources.ts";
import { BUCKET, queueUrl, REGION, topicArn } from "../aws/resources.ts";
import { KamadoError } from "../errors.ts";
import { whyNotFree } from "../http/who-listens.ts";
import { readAsS3 } from "./bucket-requests.ts";
import { notWhole, openDataFolder } from "./data-folder.ts";
import { buildFauxqs, endPolls, type Fauxqs, readdress } from "./fauxqs.ts";
import { guard } from "./guards.ts";
import { speakQueryProtocol } from "./query-protocol.ts";
import { readAsSns } from "./topic-requests.ts";
import { refuseUnknownRequests } from "./unknown-requests.ts";

export type LocalResources = {
  jobsQueueUrl: string;
  deadQueueUrl: string;
  deliveriesQueueUrl: string;
  deadDeliveriesQueueUrl: string;
  bucket: string;
  topicArn: string;
};

export type LocalAws = {
  endpoint: string;
  region: string;
  /** With a key, it is both of them; without, what the manuals of AWS emulators use. */
  credentials: { accessKeyId: string; secretAccessKey: string };
  resources: LocalResources;
  /**
   * Lets polls end that would wait for messages. A worker that stops must not break its poll off: a queue may give messages to whoever
   * has just gone, and they stay hidden for minutes. So the queue ends it.
   */
  endPolls(): void;
  /** Waits until the port is free and everything is on disk. May be called twice. */
  stop(): Promise<void>;
};

const HOST = "127.0.0.1";
const CREDENTIALS = { accessKeyId: "test", secretAccessKey: "test" };

export type LocalAwsOptions = {
  /** 0 means any free port. */
  port: number;
  /** With it, everything survives a restart or a kill. */
  dataDir?: string;
  /** The access key that every client must sign its requests with. */
  key?: string | undefined;
};

export async function startLocalAws({ port, dataDir, key }: LocalAwsOptions): Promise<LocalAws> {
  const folder = dataDir === undefined ? undefined : openDataFolder(dataDir);
  const unlock = () => folder?.close();
  let stopped: Promise<void> | undefined;
  try {
    const fauxqs = await buildFauxqs(REGION, dataDir).catch((thrown) => {
      throw dataDir === undefined ? thrown : notWhole(dataDir, "cannot be read", thrown);
    });
    const stop = () => (stopped ??= close(fauxqs, unlock));
    guard(fauxqs, { region: REGION, key });
    speakQueryProtocol(fauxqs);
    refuseUnknownRequests(fauxqs);
    readAsS3(fauxqs);
    readAsSns(fauxqs);
    const credentials = key === undefined ? CREDENTIALS : { accessKeyId: key, secretAccessKey: key };
    try {
      const endpoint = await listen(fauxqs, port);
      readdress(fauxqs, endpoint);
      await prepare({ endpoint, region: REGION, credentials });
      folder?.created();
      return {
        endpoint,
        region: REGION,
        credentials,
        resources: resourcesAt(endpoint),
        endPolls: () => endPolls(fauxqs),
        stop,
      };
    } catch (error) {
      await stop();
      throw error;
    }
  } catch (error) {
    if (!stopped) unlock();
    throw error;
  }
}

async function listen({ app }: Fauxqs, port: number): Promise<string> {
  try {
    await app.listen({ host: HOST, port });
  } catch (error) {
    throw await cannotListen(error as NodeJS.ErrnoException, port);
  }
  return `http://${HOST}:${(app.server.address() as AddressInfo).port}`;
}

async function cannotListen(error: NodeJS.ErrnoException, port: number): Promise<KamadoError> {
  const why = await whyNotFree(error.code, `http://${HOST}:${port}`);
  return new KamadoError(
    "config_invalid",
    `KAMADO_LOCAL_PORT: port ${port} of ${HOST} ${why}. Stop what listens there, or set KAMADO_LOCAL_PORT to a free port.`,
    { cause: error },
  );
}

async function prepare(aws: AwsConfig): Promise<void> {
  const clients = makeAwsClients(aws);
  try {
    await createResources(clients);
  } finally {
    clients.destroy();
  }
}

function resourcesAt(endpoint: string): LocalResources {
  return {
    jobsQueueUrl: queueUrl(endpoint, "kamado-jobs"),
    deadQueueUrl: queueUrl(endpoint, "kamado-jobs-dead"),
    deliveriesQueueUrl: queueUrl(endpoint, "kamado-deliveries"),
    deadDeliveriesQueueUrl: queueUrl(endpoint, "kamado-deliveries-dead"),
    bucket: BUCKET,
    topicArn: topicArn(),
  };
}

// The store closes after the last request, because a delete under way must reach the disk.
async function close({ app, closeStore }: Fauxqs, unlock: () => void): Promise<void> {
  await app.close();
  closeStore();
  unlock();
}
