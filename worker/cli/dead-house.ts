// What the commands of `kamado dead` work with: both queues, the delivery log, the destinations that are off.
import type { Command } from "commander";
import { makeAwsClients } from "../aws.ts";
import { s3Blobs } from "../blobs/s3.ts";
import { systemClock } from "../clock.ts";
import { loadConfig } from "../config.ts";
import { KamadoError } from "../errors.ts";
import { silentLog } from "../log.ts";
import { letterQueue } from "../queue/letters.ts";
import { sqsQueue } from "../queue/sqs.ts";
import { DeadBox } from "../run/dead-box.ts";
import type { DeadLetter } from "../run/dead-letter.ts";
import { createDeliveryLog, type DeliveryLog } from "../run/delivery-log.ts";
import { DestinationMarks } from "../run/destination-marks.ts";
import { createResults } from "../run/results.ts";
import { cloudOrLocal } from "./cloud.ts";
import { type Flags, flagsOf } from "./flags.ts";

export type House = {
  box: DeadBox;
  letters: DeadLetter[];
  /** What is to be seen now that was not before. */
  lookAgain(): Promise<DeadLetter[]>;
  marks: DestinationMarks;
  deliveryLog: DeliveryLog;
  flags: Flags;
};

/** Opens both queues for one command and gives back afterwards what it leaves. */
export async function run(command: Command, act: (house: House) => Promise<number>): Promise<void> {
  const flags = flagsOf(command);
  const config = loadConfig();
  const cloud = cloudOrLocal(config);
  const { queue } = flags;
  if (queue !== undefined && queue !== "jobs" && queue !== "deliveries")
    throw new KamadoError("invalid_input", "--queue: give jobs or deliveries.");
  const clients = makeAwsClients(cloud.aws);
  const store = { blobs: s3Blobs(clients.s3), bucket: config.bucket };
  const marks = new DestinationMarks({ ...store, clock: systemClock });
  const at = (url: string) => sqsQueue(clients.sqs, url);
  const others = (cloud.queues ?? []).filter(({ url }) => url !== cloud.queueUrl);
  const box = new DeadBox({
    ...store,
    dead: {
      jobs: letterQueue(clients.sqs, cloud.deadQueueUrl),
      deliveries: letterQueue(clients.sqs, cloud.deadDeliveriesQueueUrl),
    },
    origin: {
      jobs: [at(cloud.queueUrl), ...others.map(({ url }) => at(url))],
      deliveries: cloud.deliveriesQueueUrl === undefined ? undefined : at(cloud.deliveriesQueueUrl),
    },
    results: createResults(store),
    marks,
    clock: systemClock,
  });
  try {
    const lookAgain = () => box.open(queue);
    const letters = await lookAgain();
    const deliveryLog = createDeliveryLog({ ...store, log: silentLog });
    process.exitCode = await act({ box, letters, lookAgain, marks, deliveryLog, flags });
  } finally {
    await box.close();
    clients.destroy();
  }
}
