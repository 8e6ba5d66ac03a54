// `bench scale`: several workers on one queue: how many jobs a second, and whether any job was done twice.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Column, table } from "../worker/cli/terminal.ts";
import { type Bench, whole, wholes } from "./arguments.ts";
import { type AwsProcess, startAwsProcess } from "./aws-process.ts";
import { startOurEngine } from "./engine-process.ts";
import { factsLine, machine } from "./machine.ts";
import { type Receiver, startReceiver } from "./receiver.ts";
import { atMost, digits, mark } from "./table.ts";
import { sendAll, startWorker } from "./worker-process.ts";

const ONCE = atMost(1);

export const scale: Bench = {
  about: "several workers on one queue: jobs a second, and how often each job was inferred and delivered",
  options: {
    workers: { type: "string", default: "1,2,4,8" },
    jobs: { type: "string", default: "160" },
    slots: { type: "string", default: "2" },
    "answer-ms": { type: "string", default: "300" },
  },
  async run(values, print) {
    const [jobs, slots, answerMs] = ["jobs", "slots", "answer-ms"].map((flag) => whole(values, flag)) as [
      number,
      number,
      number,
    ];
    const counts = wholes(values, "workers");
    print(`${factsLine(machine(), { jobs, "slots a worker": slots, "answer ms": answerMs })}\n`);
    const runs: Run[] = [];
    for (const workers of counts) {
      runs.push(await measure({ workers, jobs, slots, answerMs }));
      process.stderr.write(`measured ${workers}\n`);
    }
    print(runsTable(runs));
    return { machine: machine(), jobs, slots, answerMs, runs };
  },
};

type Plan = { workers: number; jobs: number; slots: number; answerMs: number };
type Run = Plan & { jobsPerSecond: number; inferencesPerJob: number; effectsPerJob: number };

async function measure(plan: Plan): Promise<Run> {
  const { workers, jobs, slots } = plan;
  await using stack = new AsyncDisposableStack();
  const house = await open(plan, stack);
  const { receiver, record } = house;
  // Workers that still start must not count.
  await backlog(house, "warm", workers * slots);
  const before = [inferences(record), receiver.received()] as const;
  const began = performance.now();
  await backlog(house, "scale", jobs);
  const seconds = (performance.now() - began) / 1_000;
  return {
    ...plan,
    jobsPerSecond: jobs / seconds,
    inferencesPerJob: (inferences(record) - before[0]) / jobs,
    effectsPerJob: (receiver.received() - before[1]) / jobs,
  };
}

type House = { aws: AwsProcess; receiver: Receiver; record: string };

async function open(plan: Plan, stack: AsyncDisposableStack): Promise<House> {
  const { workers, slots, answerMs } = plan;
  const folder = mkdtempSync(join(tmpdir(), "kamado-bench-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const aws = await startAwsProcess();
  stack.defer(() => aws.stop());
  // One engine with room for all, which does nothing but wait: what is measured is the way to it.
  const record = join(folder, "inferences");
  writeFileSync(record, "");
  const script = JSON.stringify({ waitMs: answerMs, record });
  const engine = await startOurEngine({ backend: "scripted", slots: workers * slots, script });
  stack.defer(() => engine.stop());
  const receiver = await startReceiver();
  stack.defer(() => receiver.stop());
  for (let index = 0; index < workers; index++) {
    const own = join(folder, `worker-${index}`);
    mkdirSync(own);
    const urls = { engineUrl: engine.url, receiverUrl: receiver.url };
    const worker = await startWorker({ local: aws, ...urls, slots, folder: own });
    stack.defer(() => worker.stop());
  }
  return { aws, receiver, record };
}

/** Sends so many jobs; resolves when the last result has been delivered. */
async function backlog({ aws, receiver }: House, name: string, count: number): Promise<void> {
  const jobs = Array.from({ length: count }, (_, index) => ({
    id: `${name}-${index}`,
    kind: "prompt",
    input: { prompt: `${name} ${index}`, maxTokens: 1 },
    deliver: [{ callback: receiver.url }],
  }));
  const delivered = receiver.all(jobs.map(({ id }) => id));
  await Promise.all([sendAll(aws.clients.sqs, aws.resources.jobsQueueUrl, jobs), delivered]);
}

const inferences = (record: string) => readFileSync(record, "utf8").split('"what":"begun"').length - 1;

function runsTable(runs: readonly Run[]): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const columns = [
    ...["workers", "jobs/s", "of one"].map(right),
    right("inferences/job"),
    { title: "" },
    right("effects/job"),
    { title: "" },
  ];
  const one = runs[0]!.jobsPerSecond / runs[0]!.workers;
  const rows = runs.map(({ workers, jobsPerSecond, inferencesPerJob, effectsPerJob }) => [
    String(workers),
    digits(jobsPerSecond, 1),
    digits(jobsPerSecond / one, 2),
    digits(inferencesPerJob, 3),
    mark(inferencesPerJob, ONCE),
    digits(effectsPerJob, 3),
    mark(effectsPerJob, ONCE),
  ]);
  return table(columns, rows);
}
