// `bench fairness`: how long the single job of one tenant waits while another has a thousand queued, in job lengths, with tenants and
// without; and how many calls of SQS that takes. The worker's own consumer over its SQS adapter; a job only waits, half to one and a half
// times as long as the others.
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "../worker/async/clock.ts";
import { makeAwsClients } from "../worker/aws/clients.ts";
import { Consumer } from "../worker/consumer/consumer.ts";
import { silentLog } from "../worker/logging/log.ts";
import { type Column, table } from "../worker/logging/terminal.ts";
import type { Message } from "../worker/queue/queue.ts";
import { sqsQueue } from "../worker/queue/sqs.ts";
import { type Bench, whole } from "./arguments.ts";
import { type AwsProcess, startAwsProcess } from "./aws-process.ts";
import { factsLine, machine } from "./machine.ts";
import { seededRandom } from "./seeded-random.ts";
import type { Session } from "./session.ts";
import { atMost, digits, mark } from "./table.ts";
import { sendAll } from "./worker-process.ts";

/** In job lengths. */
const TARGET = atMost(1);
const WAYS = ["no tenant named", "two tenants", "one tenant alone"] as const;
type Way = (typeof WAYS)[number];

export const fairness: Bench = {
  about: "how long one tenant's job waits while another has a thousand queued, in job lengths",
  options: {
    jobs: { type: "string", default: "1000" },
    slots: { type: "string", default: "8" },
    "job-ms": { type: "string", default: "1000" },
    singles: { type: "string", default: "5" },
    "round-trip": { type: "string", default: "1" },
  },
  async run(values, session) {
    const [jobs, slots, jobMs] = [whole(values, "jobs"), whole(values, "slots"), whole(values, "job-ms")];
    const [singles, roundTripMs] = [whole(values, "singles"), whole(values, "round-trip")];
    session.print(`${factsLine(machine(), { jobs, slots, "job ms": jobMs })}\n`);
    await using stack = new AsyncDisposableStack();
    const aws = await startAwsProcess(session, roundTripMs);
    stack.defer(() => aws.stop());
    const rows: Row[] = [];
    for (const way of WAYS) {
      rows.push(await measure(aws, { way, jobs, slots, jobMs, singles }, session));
      process.stderr.write(`measured ${way}\n`);
    }
    session.print(rowsTable(rows));
    return { machine: machine(), jobs, slots, jobMs, roundTripMs, rows, target: TARGET.value };
  },
};

type Plan = { way: Way; jobs: number; slots: number; jobMs: number; singles: number };
/** Waits in job lengths: from when a single job was sent, or the worker began, until it started. */
export type Row = { way: Way; waits: number[]; callsPerJob: number };

const SEED = 7;

/** What a message of this table holds. */
type Body = { id: string; tenant: string | null };

async function measure(aws: AwsProcess, plan: Plan, session: Session): Promise<Row> {
  const { way, jobs, slots, jobMs } = plan;
  const queueUrl = await aws.newQueue();
  const tenantOf = (name: string) => (way === "no tenant named" ? null : name);
  const crowd = Array.from(
    { length: jobs },
    (_, index): Body => ({ id: `crowd-${index}`, tenant: tenantOf("crowd") }),
  );
  await session.during(sendAll(aws.clients.sqs, queueUrl, crowd));
  const clients = makeAwsClients(aws);
  let calls = 0;
  clients.sqs.middlewareStack.add(
    (next) => (args) => {
      calls++;
      return next(args);
    },
    { step: "initialize" },
  );
  const random = seededRandom(SEED);
  const singles = new Singles(jobMs);
  const expected = jobs + (way === "one tenant alone" ? 0 : singlesOf(plan));
  const all = new Countdown(expected);
  const consumer = new Consumer({
    queue: sqsQueue(clients.sqs, queueUrl),
    concurrency: { slots, prefetch: slots },
    visibilitySeconds: 120,
    pollSeconds: 10,
    lookAhead: way === "no tenant named" ? 0 : jobs + 100,
    turnOf: (message) => ({ priority: 5, tenant: bodyOf(message).tenant }),
    work: async ({ message }) => {
      singles.started(bodyOf(message).id);
      await sleep(jobMs * (0.5 + random()));
      all.one();
      return "delete";
    },
    clock: systemClock,
    log: silentLog,
  });
  const send = async (index: number) => {
    const body: Body = { id: `single-${index}`, tenant: tenantOf("single") };
    singles.sent(body.id);
    await sendAll(aws.clients.sqs, queueUrl, [body]);
  };
  try {
    if (way !== "one tenant alone") await send(0);
    singles.workerBegan();
    consumer.start();
    const whole = (jobs / slots) * jobMs;
    for (let index = 1; way !== "one tenant alone" && index < singlesOf(plan); index++) {
      // Spread over the first half, while the crowd is large.
      await session.during(sleep(whole / 2 / singlesOf(plan)));
      await send(index);
    }
    await session.during(all.ended);
  } finally {
    await Promise.race([consumer.stop(5_000), sleep(8_000, undefined, { ref: false })]);
    clients.destroy();
  }
  return { way, waits: singles.waits, callsPerJob: calls / expected };
}

/** Where no tenant is named, the first one waits for the whole crowd: one tells it all. */
const singlesOf = ({ way, singles }: Plan) => (way === "no tenant named" ? 1 : singles);

const bodyOf = ({ body }: Message) => JSON.parse(body) as Body;

/** When the single jobs were sent and started. */
export class Singles {
  readonly #jobMs: number;
  readonly #now: () => number;
  readonly #sent = new Map<string, number>();
  readonly waits: number[] = [];

  constructor(jobMs: number, now: () => number = () => performance.now()) {
    this.#jobMs = jobMs;
    this.#now = now;
  }

  sent(id: string): void {
    this.#sent.set(id, this.#now());
  }

  /** Before that, nothing could start. */
  workerBegan(): void {
    for (const id of this.#sent.keys()) this.sent(id);
  }

  /** Of any job. */
  started(id: string): void {
    const sentAt = this.#sent.get(id);
    if (sentAt !== undefined) this.waits.push((this.#now() - sentAt) / this.#jobMs);
    this.#sent.delete(id);
  }
}

class Countdown {
  readonly #ended = Promise.withResolvers<void>();
  #left: number;

  constructor(count: number) {
    this.#left = count;
  }

  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  one(): void {
    this.#left -= 1;
    if (this.#left === 0) this.#ended.resolve();
  }
}

/** Of several jobs the one that waited longest. NaN where none was sent. */
export const longestOf = (waits: readonly number[]): number =>
  waits.length === 0 ? Number.NaN : Math.max(...waits);

/** The first was sent behind the whole crowd before the worker began, the others while it worked. */
const longest = ({ waits: [first = Number.NaN, ...others] }: Row) => [first, longestOf(others)] as const;

function rowsTable(rows: readonly Row[]): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const columns = [
    { title: "queued" },
    right("behind all at the start"),
    { title: "" },
    right("while it works"),
    { title: "" },
    right("calls/job"),
  ];
  const lines = rows.map((row) => {
    const [first, later] = longest(row);
    const target = row.way === "two tenants" ? TARGET : undefined;
    return [
      row.way,
      digits(first, 2),
      mark(first, target),
      digits(later, 2),
      mark(later, target),
      digits(row.callsPerJob, 2),
    ];
  });
  return table(columns, lines);
}
