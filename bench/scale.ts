// `bench scale`: several workers on one queue. How many jobs a second they do, and whether any job was done twice.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Column, table } from "../worker/logging/terminal.ts";
import { type Bench, whole, wholes } from "./arguments.ts";
import { type AwsProcess, startAwsProcess } from "./aws-process.ts";
import { startOurEngine } from "./engine-process.ts";
import { factsLine, machine } from "./machine.ts";
import { type Receiver, startReceiver } from "./receiver.ts";
import type { Session } from "./session.ts";
import { atMost, digits, mark } from "./table.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { sendAll, startWorker } from "./worker-process.ts";

const ONCE = atMost(1);
/** Short, so that the table can wait for a duplicate that appears only after a lease has run out. */
const VISIBILITY_SECONDS = 10;
const SETTLE_MS = 1_500 * VISIBILITY_SECONDS;

export const scale: Bench = {
  about: "several workers on one queue: jobs a second, and how often each job was inferred and delivered",
  options: {
    workers: { type: "string", default: "1,2,4,8" },
    jobs: { type: "string", default: "160" },
    slots: { type: "string", default: "2" },
    "answer-ms": { type: "string", default: "300" },
  },
  async run(values, session) {
    const { print } = session;
    const [jobs, slots, answerMs] = ["jobs", "slots", "answer-ms"].map((flag) => whole(values, flag)) as [
      number,
      number,
      number,
    ];
    const counts = wholes(values, "workers");
    print(`${factsLine(machine(), { jobs, "slots a worker": slots, "answer ms": answerMs })}\n`);
    const runs: Run[] = [];
    for (const workers of counts) {
      runs.push(await measure({ workers, jobs, slots, answerMs }, session));
      process.stderr.write(`measured ${workers}\n`);
    }
    print(runsTable(runs));
    return { machine: machine(), jobs, slots, answerMs, runs };
  },
};

type Plan = { workers: number; jobs: number; slots: number; answerMs: number };
type Run = Plan & { jobsPerSecond: number; inferencesPerJob: number; effectsPerJob: number };

async function measure(plan: Plan, session: Session): Promise<Run> {
  const { workers, jobs, slots } = plan;
  await using stack = new AsyncDisposableStack();
  const parts = await start(plan, session, stack);
  // The workers' start must not be part of the measurement.
  await runBacklog(parts, "warm", workers * slots);
  const began = performance.now();
  await runBacklog(parts, "scale", jobs);
  const seconds = (performance.now() - began) / 1_000;
  await sleep(SETTLE_MS, undefined, { signal: session.signal });
  return {
    ...plan,
    jobsPerSecond: jobs / seconds,
    inferencesPerJob: inferences(parts.record, "scale") / jobs,
    effectsPerJob: parts.receiver.received().filter((id) => id.startsWith("scale-")).length / jobs,
  };
}

type Parts = { session: Session; aws: AwsProcess; receiver: Receiver; record: string };

async function start(plan: Plan, session: Session, stack: AsyncDisposableStack): Promise<Parts> {
  const { workers, slots, answerMs } = plan;
  const folder = temporaryFolder(stack);
  const aws = await startAwsProcess(session);
  stack.defer(() => aws.stop());
  // One engine with slots for all workers, which only waits: the workers are measured, not the engine.
  const record = join(folder, "inferences");
  writeFileSync(record, "");
  const script = JSON.stringify({ waitMs: answerMs, record });
  const engine = await startOurEngine({ backend: "scripted", slots: workers * slots, script }, session);
  stack.defer(() => engine.stop());
  const receiver = await startReceiver();
  stack.defer(() => receiver.stop());
  for (let index = 0; index < workers; index++) {
    const own = join(folder, `worker-${index}`);
    mkdirSync(own);
    const urls = { engineUrl: engine.url, receiverUrl: receiver.url };
    const options = { local: aws, ...urls, slots, folder: own, visibilitySeconds: VISIBILITY_SECONDS };
    const worker = await startWorker(options, session);
    stack.defer(() => worker.stop());
  }
  return { session, aws, receiver, record };
}

/** Sends this many jobs and resolves when the last result has been delivered. */
async function runBacklog({ session, aws, receiver }: Parts, name: string, count: number): Promise<void> {
  const jobs = Array.from({ length: count }, (_, index) => ({
    id: `${name}-${index}`,
    kind: "prompt",
    input: { prompt: `${name} ${index}`, maxTokens: 1 },
    deliver: [{ callback: receiver.url }],
  }));
  const delivered = receiver.all(jobs.map(({ id }) => id));
  const sent = sendAll(aws.clients.sqs, aws.resources.jobsQueueUrl, jobs);
  await session.during(Promise.all([sent, delivered]));
}

/** How many answers the engine began for prompts with this word. */
function inferences(record: string, word: string): number {
  const lines = readFileSync(record, "utf8").trimEnd().split("\n");
  return lines.filter((line) => line.includes('"what":"begun"') && line.includes(`${word} `)).length;
}

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
