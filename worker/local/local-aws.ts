// The embedded AWS: SQS, S3 and SNS on one loopback port, in memory or kept in a folder. Starting and stopping are
// here; what it consists of is in resources.ts, the emulator itself behind fauxqs.ts.
import { mkdirSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { makeAwsClients } from "../aws/clients.ts";
import { BUCKET, queueUrl, REGION, topicArn } from "../aws/resources.ts";
import { KamadoError } from "../errors.ts";
import { createResources } from "./create-resources.ts";
import { buildFauxqs, type Fauxqs, readdress } from "./fauxqs.ts";
import { guard } from "./guards.ts";

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
  /** Anything does: the emulator checks no signature. These are the ones every AWS emulator's manual uses. */
  credentials: { accessKeyId: string; secretAccessKey: string };
  resources: LocalResources;
  /** Waits until the port is free and everything is on disk. May be called twice. */
  stop(): Promise<void>;
};

const HOST = "127.0.0.1";
const CREDENTIALS = { accessKeyId: "test", secretAccessKey: "test" };

/** Port 0 takes any free one. With `dataDir` everything survives a restart, and a kill. */
export async function startLocalAws(options: { port: number; dataDir?: string }): Promise<LocalAws> {
  const unlock = options.dataDir === undefined ? () => {} : lock(options.dataDir);
  let stopped: Promise<void> | undefined;
  try {
    const fauxqs = await buildFauxqs(REGION, options.dataDir);
    const stop = () => (stopped ??= close(fauxqs, unlock));
    guard(fauxqs, REGION);
    try {
      const endpoint = await listen(fauxqs, options.port);
      readdress(fauxqs, endpoint);
      await prepare(endpoint);
      return { endpoint, region: REGION, credentials: CREDENTIALS, resources: resourcesAt(endpoint), stop };
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
    throw cannotListen(error as NodeJS.ErrnoException, port);
  }
  return `http://${HOST}:${(app.server.address() as AddressInfo).port}`;
}

function cannotListen(error: NodeJS.ErrnoException, port: number): KamadoError {
  const why = error.code === "EADDRINUSE" ? "is taken by another program" : `cannot be used (${error.code})`;
  return new KamadoError(
    "config_invalid",
    `KAMADO_LOCAL_PORT: port ${port} of ${HOST} ${why}. Stop what listens there (another Kamado or LocalStack, perhaps), or set KAMADO_LOCAL_PORT to a free port.`,
    { cause: error },
  );
}

async function prepare(endpoint: string): Promise<void> {
  const clients = makeAwsClients({ endpoint, region: REGION, credentials: CREDENTIALS });
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

// The store closes after the last request, not before: a delete that is under way must reach the disk.
async function close({ app, closeStore }: Fauxqs, unlock: () => void): Promise<void> {
  await app.close();
  closeStore();
  unlock();
}

/**
 * Two servers on one folder would hand out every message twice. The lock is an open SQLite transaction, which the
 * system releases with the process however that ends.
 */
function lock(dataDir: string): () => void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const file = new DatabaseSync(join(dataDir, "lock.db"), { timeout: 0 });
  try {
    file.exec("BEGIN EXCLUSIVE");
  } catch (error) {
    file.close();
    throw new KamadoError(
      "config_invalid",
      `${dataDir}: another Kamado already keeps its queues in this folder.`,
      {
        cause: error,
      },
    );
  }
  return () => file.isOpen && file.close();
}
