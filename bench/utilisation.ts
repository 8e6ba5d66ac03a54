// `bench utilisation`: how busy a worker keeps its slots while there is a backlog, and how many calls of SQS that takes:
// our puller, leases and acks over the real adapter, beside sqs-consumer, on the same queue and the same jobs.
import { setTimeout as sleep } from "node:timers/promises";
import type { SQSClient } from "@aws-sdk/client-sqs";
import { makeAwsClients } from "../worker/aws.ts";
import { type Column, table } from "../worker/cli/terminal.ts";
import { systemClock } from "../worker/clock.ts";
import { silentLog } from "../worker/log.ts";
import { sqsQueue } from "../worker/queue/sqs.ts";
import { Acks } from "../worker/run/acks.ts";
import { Leases } from "../worker/run/leases.ts";
import { Puller } from "../worker/run/puller.ts";
import { type Bench, whole, wholes } from "./arguments.ts";
import { type AwsProcess, startAwsProcess } from "./aws-process.ts";
import { durationsOf, SHAPES, type Shape } from "./durations.ts";
import { factsLine, machine } from "./machine.ts";
import { type Busy, SlotClock } from "./slot-clock.ts";
import { type CreateConsumer, loadSqsConsumer } from "./sqs-consumer.ts";
import { atLeast, atMost, digits, mark } from "./table.ts";
import { sendAll } from "./worker-process.ts";

const BUSY = atLeast(0.95);
const CALLS = atMost(0.4);

export const utilisation: Bench = {
  about: "how busy slots are under a backlog, and calls of SQS a job, beside sqs-consumer",
  options: {
    jobs: { type: "string", default: "1600" },
    slots: { type: "string", default: "16" },
    "round-trips": { type: "string", default: "1,30" },
    alone: { type: "boolean" },
  },
  async run(values, print) {
    const [jobs, slots] = [whole(values, "jobs"), whole(values, "slots")];
    const roundTrips = wholes(values, "round-trips");
    print(`${factsLine(machine(), { jobs, slots })}\n`);
    const create = values.alone === true ? undefined : await loadSqsConsumer();
    const runs: Run[] = [];
    for (const roundTripMs of roundTrips)
      runs.push(...(await measureAt({ roundTripMs, jobs, slots, create })));
    print(runsTable(runs));
    return { machine: machine(), jobs, slots, runs, targets: { busy: BUSY.value, callsPerJob: CALLS.value } };
  },
};

type Plan = { roundTripMs: number; jobs: number; slots: number; create: CreateConsumer | undefined };
type Run = Busy & { who: string; shape: Shape; roundTripMs: number; callsPerJob: number };
type Way = (lane: {
  sqs: SQSClient;
  queueUrl: string;
  slots: number;
  work(): Promise<void>;
  ended: Promise<void>;
}) => Promise<void>;

async function measureAt({ roundTripMs, jobs, slots, create }: Plan): Promise<Run[]> {
  const aws = await startAwsProcess(roundTripMs);
  const ways: [string, Way][] = [["kamado", viaKamado]];
  if (create)
    ways.push(
      ["sqs-consumer 16 x 1", viaConsumers(create, 1)],
      ["sqs-consumer 2 x 8", viaConsumers(create, 8)],
    );
  const runs: Run[] = [];
  try {
    for (const shape of SHAPES)
      for (const [who, way] of ways) {
        runs.push({ who, shape, roundTripMs, ...(await measure(aws, way, durationsOf(shape, jobs), slots)) });
        process.stderr.write(`measured ${who}, ${shape}, ${roundTripMs} ms\n`);
      }
  } finally {
    await aws.stop();
  }
  return runs;
}

async function measure(aws: AwsProcess, way: Way, durations: readonly number[], slots: number) {
  const queueUrl = await aws.newQueue();
  await sendAll(
    aws.clients.sqs,
    queueUrl,
    durations.map((_, id) => ({ id, prompt: "p".repeat(400) })),
  );
  const clients = makeAwsClients(aws);
  const clock = new SlotClock(slots, durations.length);
  let calls = 0;
  clients.sqs.middlewareStack.add(
    (next) => (args) => {
      calls++;
      return next(args);
    },
    { step: "initialize" },
  );
  let next = 0;
  const work = () => clock.run(() => sleep(durations[next++]));
  try {
    await way({ sqs: clients.sqs, queueUrl, slots, work, ended: clock.ended() });
  } finally {
    clients.destroy();
  }
  return { ...clock.busy(), callsPerJob: calls / durations.length };
}

/** The worker's own loop; what a job does is wait. */
const viaKamado: Way = async ({ sqs, queueUrl, slots, work, ended }) => {
  const shared = {
    queue: sqsQueue(sqs, queueUrl),
    clock: systemClock,
    log: silentLog,
    visibilitySeconds: 120,
  };
  const leases = new Leases(shared);
  const acks = new Acks({ ...shared, leases });
  const puller = new Puller({
    ...shared,
    leases,
    acks,
    capacity: { slots, prefetch: slots },
    pollSeconds: 1,
    work: async (lease) => {
      await work();
      void acks.delete(lease);
      return true;
    },
    priorityOf: () => 0,
    isReady: () => true,
    ready: async () => {},
  });
  puller.start();
  await ended;
  await puller.stop(5_000);
};

/** As many consumers as fill the slots, each with batches of so many. */
const viaConsumers =
  (create: CreateConsumer, batchSize: number): Way =>
  async ({ sqs, queueUrl, slots, work, ended }) => {
    const consumers = Array.from({ length: slots / batchSize }, () =>
      create({
        queueUrl,
        sqs,
        batchSize,
        waitTimeSeconds: 1,
        handleMessage: async (message) => {
          await work();
          return message;
        },
      }),
    );
    for (const consumer of consumers) {
      consumer.on("error", () => {});
      consumer.start();
    }
    await ended;
    const stopped = consumers.map((consumer) => new Promise<void>((done) => consumer.on("stopped", done)));
    for (const consumer of consumers) consumer.stop();
    await Promise.all(stopped);
  };

function runsTable(runs: readonly Run[]): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const columns = [
    right("round trip ms"),
    { title: "jobs" },
    { title: "who" },
    right("busy"),
    { title: "" },
    right("calls/job"),
    { title: "" },
    right("wall s"),
  ];
  const rows = runs.map(({ roundTripMs, shape, who, busyShare, callsPerJob, wallSeconds }) => {
    const isOurs = who === "kamado";
    return [
      String(roundTripMs),
      shape,
      who,
      digits(busyShare, 3),
      isOurs ? mark(busyShare, BUSY) : "",
      digits(callsPerJob, 2),
      isOurs ? mark(callsPerJob, CALLS) : "",
      digits(wallSeconds, 1),
    ];
  });
  return table(columns, rows);
}
