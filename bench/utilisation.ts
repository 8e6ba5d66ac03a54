// `bench utilisation`: how busy a worker keeps its slots while there is a backlog, and how many calls of SQS that takes,
// beside sqs-consumer, on the same queue and the same jobs, taking turns.
import { setTimeout as sleep } from "node:timers/promises";
import { makeAwsClients } from "../worker/aws/clients.ts";
import { type Bench, whole, wholes } from "./arguments.ts";
import { type AwsProcess, startAwsProcess } from "./aws-process.ts";
import { durationsOf, SHAPES } from "./durations.ts";
import { interleave } from "./interleave.ts";
import { factsLine, machine } from "./machine.ts";
import type { Session } from "./session.ts";
import { SlotClock } from "./slot-clock.ts";
import { type CreateConsumer, loadSqsConsumer } from "./sqs-consumer.ts";
import { medianRun, type Run, runsTable, TARGETS } from "./utilisation-report.ts";
import { type Way, waysOf } from "./utilisation-ways.ts";
import { sendAll } from "./worker-process.ts";

export const utilisation: Bench = {
  about: "how busy slots are under a backlog, and calls of SQS a job, beside sqs-consumer",
  options: {
    jobs: { type: "string", default: "1600" },
    slots: { type: "string", default: "16" },
    rounds: { type: "string", default: "3" },
    "round-trips": { type: "string", default: "1,30" },
    alone: { type: "boolean" },
  },
  async run(values, session) {
    const [jobs, slots, rounds] = [whole(values, "jobs"), whole(values, "slots"), whole(values, "rounds")];
    const roundTrips = wholes(values, "round-trips");
    session.print(`${factsLine(machine(), { jobs, slots, rounds })}\n`);
    const create = values.alone === true ? undefined : await loadSqsConsumer();
    const runs: Run[] = [];
    for (const roundTripMs of roundTrips)
      runs.push(...(await measureAt({ roundTripMs, jobs, slots, rounds, create }, session)));
    session.print(runsTable(runs));
    const targets = { busy: TARGETS.busy.value, callsPerJob: TARGETS.calls.value };
    return { machine: machine(), jobs, slots, rounds, runs, targets };
  },
};

type Plan = {
  roundTripMs: number;
  jobs: number;
  slots: number;
  rounds: number;
  create: CreateConsumer | undefined;
};

async function measureAt(
  { roundTripMs, jobs, slots, rounds, create }: Plan,
  session: Session,
): Promise<Run[]> {
  await using stack = new AsyncDisposableStack();
  const aws = await startAwsProcess(session, roundTripMs);
  stack.defer(() => aws.stop());
  const ways = waysOf(slots, create);
  const medians: Run[] = [];
  for (const shape of SHAPES) {
    const durations = durationsOf(shape, jobs);
    const runs: Run[] = [];
    for (const [who, way] of interleave(ways, rounds)) {
      runs.push({ who, shape, roundTripMs, ...(await measure(aws, way, durations, slots, session)) });
      process.stderr.write(`measured ${who}, ${shape}, ${roundTripMs} ms\n`);
    }
    medians.push(...ways.map(([who]) => medianRun(runs.filter((run) => run.who === who))));
  }
  return medians;
}

async function measure(
  aws: AwsProcess,
  way: Way,
  durations: readonly number[],
  slots: number,
  session: Session,
) {
  const queueUrl = await aws.newQueue();
  const bodies = durations.map((_, id) => ({ id, prompt: "p".repeat(400) }));
  await session.during(sendAll(aws.clients.sqs, queueUrl, bodies));
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
    await way({ sqs: clients.sqs, queueUrl, slots, work, ended: session.during(clock.ended()) });
  } finally {
    clients.destroy();
  }
  return { ...clock.busy(), callsPerJob: calls / durations.length };
}
