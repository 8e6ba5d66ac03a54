// `bench utilisation`: how busy a worker keeps its slots while there is a backlog, and how many calls to SQS that takes. Beside it
// sqs-consumer, with the same queue and the same jobs, in alternating rounds. The consumers are in utilisation-ways.ts.
import { setTimeout as sleep } from "node:timers/promises";
import { makeAwsClients } from "../worker/aws/clients.ts";
import { type Column, table } from "../worker/logging/terminal.ts";
import { type Bench, whole, wholes } from "./arguments.ts";
import { type AwsProcess, startAwsProcess } from "./aws-process.ts";
import { interleave, median } from "./figures.ts";
import { factsLine, machine } from "./machine.ts";
import { seededRandom } from "./seeded-random.ts";
import type { Session } from "./session.ts";
import { atLeast, atMost, digits, mark } from "./table.ts";
import { type CreateConsumer, loadSqsConsumer, OURS, type Way, waysOf } from "./utilisation-ways.ts";
import { sendAll } from "./worker-process.ts";

const TARGETS = { busy: atLeast(0.95), calls: atMost(0.4) };

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
export type Run = Busy & { who: string; shape: Shape; roundTripMs: number; callsPerJob: number };

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

export const SHAPES = ["exponential", "bimodal"] as const;
type Shape = (typeof SHAPES)[number];

const SEED = 7;
const LONGEST_MS = 1_500;

/** How long each job takes, the same for every consumer. Both shapes have a mean of 100 ms. */
export function durationsOf(shape: Shape, count: number): number[] {
  const random = seededRandom(SEED);
  return Array.from({ length: count }, () =>
    shape === "exponential" ? Math.min(LONGEST_MS, -100 * Math.log(1 - random())) : random() < 0.9 ? 50 : 550,
  );
}

type Busy = { jobs: number; busyShare: number; wallSeconds: number; mostAtOnce: number };

/**
 * Measures how busy the slots are while there is a backlog: from the first start of a job to the last one. After the last start
 * slots become idle, whatever the consumer does.
 */
export class SlotClock {
  readonly #slots: number;
  readonly #jobs: number;
  readonly #now: () => number;
  readonly #runs: { from: number; to: number }[] = [];
  readonly #all = Promise.withResolvers<void>();
  #running = 0;
  #ended = 0;
  #most = 0;

  constructor(slots: number, jobs: number, now: () => number = () => performance.now()) {
    this.#slots = slots;
    this.#jobs = jobs;
    this.#now = now;
  }

  async run(work: () => Promise<void>): Promise<void> {
    const run = { from: this.#now(), to: Number.POSITIVE_INFINITY };
    this.#runs.push(run);
    this.#most = Math.max(this.#most, ++this.#running);
    await work();
    run.to = this.#now();
    this.#running -= 1;
    if (++this.#ended === this.#jobs) this.#all.resolve();
  }

  /** Resolves when all jobs have run. */
  ended(): Promise<void> {
    return this.#all.promise;
  }

  busy(): Busy {
    const starts = this.#runs.map(({ from }) => from);
    const [first, last] = [Math.min(...starts), Math.max(...starts)];
    const busy = this.#runs.reduce((total, { from, to }) => total + Math.min(to, last) - from, 0);
    return {
      jobs: this.#ended,
      busyShare: busy / (this.#slots * (last - first)),
      wallSeconds: (last - first) / 1_000,
      mostAtOnce: this.#most,
    };
  }
}

/** The medians of several runs of one consumer. */
export function medianRun(runs: readonly Run[]): Run {
  const of = (take: (run: Run) => number) => median(runs.map(take));
  return {
    ...runs[0]!,
    busyShare: of(({ busyShare }) => busyShare),
    callsPerJob: of(({ callsPerJob }) => callsPerJob),
    wallSeconds: of(({ wallSeconds }) => wallSeconds),
    mostAtOnce: Math.max(...runs.map(({ mostAtOnce }) => mostAtOnce)),
  };
}

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
  const rows = runs.map(({ roundTripMs, shape, who, busyShare, callsPerJob, wallSeconds }) => [
    String(roundTripMs),
    shape,
    who,
    digits(busyShare, 3),
    who === OURS ? mark(busyShare, TARGETS.busy) : "",
    digits(callsPerJob, 2),
    who === OURS ? mark(callsPerJob, TARGETS.calls) : "",
    digits(wallSeconds, 1),
  ]);
  return table(columns, rows);
}
