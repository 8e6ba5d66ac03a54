// The consumers that `bench utilisation` compares: the worker's own over its SQS adapter, and sqs-consumer, with one job or a
// batch for each consumer.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import type { SQSClient } from "@aws-sdk/client-sqs";
import { systemClock } from "../worker/async/clock.ts";
import { loadConfig } from "../worker/config/config.ts";
import { Consumer } from "../worker/consumer/consumer.ts";
import { KamadoError } from "../worker/errors.ts";
import { silentLog } from "../worker/logging/log.ts";
import { sqsQueue } from "../worker/queue/sqs.ts";

/** Consumes a whole queue. `ended` settles when it may stop. */
export type Way = (lane: {
  sqs: SQSClient;
  queueUrl: string;
  slots: number;
  work(): Promise<void>;
  ended: Promise<void>;
}) => Promise<void>;

export const OURS = "kamado";
/** A batch size that SQS allows and that divides 16 slots evenly. */
const BATCH = 8;
const STOP_MS = 8_000;

/** By name. Without `create` only ours. */
export function waysOf(slots: number, create: CreateConsumer | undefined): [string, Way][] {
  if (!create) return [[OURS, viaKamado]];
  const shapes = [1, BATCH].map((batch) => consumersFor(slots, batch));
  const theirs = shapes.map((sizes): [string, Way] => [nameOf(sizes), viaConsumers(create, sizes)]);
  return [[OURS, viaKamado], ...theirs];
}

/** How many jobs each consumer runs at once, so that together they fill the slots. 12 slots in batches of 8: 8 and 4. */
export function consumersFor(slots: number, batch: number): number[] {
  const rest = slots % batch;
  return [...Array<number>(Math.floor(slots / batch)).fill(batch), ...(rest > 0 ? [rest] : [])];
}

/** `sqs-consumer 2 x 8`, `sqs-consumer 8 + 4`. */
export function nameOf(sizes: readonly number[]): string {
  const isEven = sizes.every((size) => size === sizes[0]);
  return `sqs-consumer ${isEven ? `${sizes.length} x ${sizes[0]}` : sizes.join(" + ")}`;
}

/** When the queue is gone, a consumer that returns messages retries for minutes. */
const withinTime = (stopping: Promise<unknown>) =>
  Promise.race([stopping, sleep(STOP_MS, undefined, { ref: false })]);

/** The worker's own consumer. A job only waits. */
const viaKamado: Way = async ({ sqs, queueUrl, slots, work, ended }) => {
  const shared = {
    queue: sqsQueue(sqs, queueUrl),
    clock: systemClock,
    log: silentLog,
    visibilitySeconds: 120,
  };
  const consumer = new Consumer({
    ...shared,
    concurrency: { slots, prefetch: slots },
    pollSeconds: 1,
    work: async () => {
      await work();
      return "delete";
    },
  });
  consumer.start();
  try {
    await ended;
  } finally {
    await withinTime(consumer.stop(5_000));
  }
};

const viaConsumers =
  (create: CreateConsumer, sizes: readonly number[]): Way =>
  async ({ sqs, queueUrl, work, ended }) => {
    const handleMessage = async (message: unknown) => {
      await work();
      return message;
    };
    const consumers = sizes.map((batchSize) =>
      create({ queueUrl, sqs, batchSize, waitTimeSeconds: 1, handleMessage }),
    );
    for (const consumer of consumers) {
      consumer.on("error", () => {});
      consumer.start();
    }
    try {
      await ended;
    } finally {
      const stopped = consumers.map((consumer) => new Promise<void>((done) => consumer.on("stopped", done)));
      for (const consumer of consumers) consumer.stop();
      await withinTime(Promise.all(stopped));
    }
  };

// Not a dependency of Kamado. The first run installs it into the data folder.
const PACKAGE = "sqs-consumer@15.0.3";

export type SqsConsumer = {
  start(): void;
  stop(options?: { abort?: boolean }): void;
  on(name: string, listener: () => void): void;
};
export type CreateConsumer = (options: {
  queueUrl: string;
  sqs: SQSClient;
  batchSize: number;
  waitTimeSeconds: number;
  handleMessage(message: unknown): Promise<unknown>;
}) => SqsConsumer;

export async function loadSqsConsumer(): Promise<CreateConsumer> {
  const folder = join(loadConfig().dataDir, "bench/peers");
  const entry = join(folder, "node_modules/sqs-consumer/dist/esm/index.js");
  if (!existsSync(entry)) install(folder);
  const { Consumer } = (await import(pathToFileURL(entry).href)) as { Consumer: { create: CreateConsumer } };
  return (options) => Consumer.create(options);
}

function install(folder: string): void {
  process.stderr.write(`installing ${PACKAGE} into ${folder}, once\n`);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
  const flags = ["--no-audit", "--no-fund", "--ignore-scripts"];
  const { status, stderr } = spawnSync("npm", ["install", ...flags, PACKAGE], {
    cwd: folder,
    encoding: "utf8",
  });
  if (status === 0) return;
  throw new KamadoError(
    "tool_missing",
    `${PACKAGE} cannot be installed; measure without it: --alone. npm says: ${stderr?.trim().split("\n").at(-1)}`,
  );
}
