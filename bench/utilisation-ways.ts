// The ways through a backlog that `bench utilisation` compares: our consumer, leases and acks over the real adapter, and
// consumers of sqs-consumer, one job or a batch each.
import { setTimeout as sleep } from "node:timers/promises";
import type { SQSClient } from "@aws-sdk/client-sqs";
import { systemClock } from "../worker/async/clock.ts";
import { Consumer } from "../worker/consumer/consumer.ts";
import { silentLog } from "../worker/logging/log.ts";
import { sqsQueue } from "../worker/queue/sqs.ts";
import type { CreateConsumer } from "./sqs-consumer.ts";

/** Goes through all of a queue; `ended` settles when it may stop. */
export type Way = (lane: {
  sqs: SQSClient;
  queueUrl: string;
  slots: number;
  work(): Promise<void>;
  ended: Promise<void>;
}) => Promise<void>;

export const OURS = "kamado";
/** As many as SQS gives in a call and divide 16 slots evenly. */
const BATCH = 8;
const STOP_MS = 8_000;

/** By name. Without `create`, ours alone. */
export function waysOf(slots: number, create: CreateConsumer | undefined): [string, Way][] {
  if (!create) return [[OURS, viaKamado]];
  const shapes = [1, BATCH].map((batch) => consumersFor(slots, batch));
  const theirs = shapes.map((sizes): [string, Way] => [nameOf(sizes), viaConsumers(create, sizes)]);
  return [[OURS, viaKamado], ...theirs];
}

/** How many jobs each consumer has at once, so that all of them fill the slots: twelve by eight are 8 and 4. */
export function consumersFor(slots: number, batch: number): number[] {
  const rest = slots % batch;
  return [...Array<number>(Math.floor(slots / batch)).fill(batch), ...(rest > 0 ? [rest] : [])];
}

/** `sqs-consumer 2 x 8`, `sqs-consumer 8 + 4`. */
export function nameOf(sizes: readonly number[]): string {
  const isEven = sizes.every((size) => size === sizes[0]);
  return `sqs-consumer ${isEven ? `${sizes.length} x ${sizes[0]}` : sizes.join(" + ")}`;
}

/** Where the queue is gone, whoever gives messages back to it tries for minutes. */
const patiently = (stopping: Promise<unknown>) =>
  Promise.race([stopping, sleep(STOP_MS, undefined, { ref: false })]);

/** The worker's own loop; what a job does is wait. */
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
    await patiently(consumer.stop(5_000));
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
      await patiently(Promise.all(stopped));
    }
  };
