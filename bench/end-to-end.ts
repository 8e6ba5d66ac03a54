// `bench end-to-end`: what the worker costs. A backlog of jobs through queue, worker, engine and delivery, beside the bare
// engine asked the very same over HTTP, taking turns.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AwsClients, makeAwsClients } from "../worker/aws.ts";
import { type Column, table } from "../worker/cli/terminal.ts";
import { type LocalAws, startLocalAws } from "../worker/local/local-aws.ts";
import { type Bench, oneOf, whole } from "./arguments.ts";
import { cpuSeconds } from "./cpu-time.ts";
import { type ServerProcess, startOurEngine } from "./engine-process.ts";
import { interleave } from "./interleave.ts";
import { type Call, runLoad } from "./load.ts";
import { factsLine, machine, modelFile, modelWords } from "./machine.ts";
import { textOf } from "./prompts.ts";
import { FORMATS, smallModel } from "./random-model.ts";
import { type Receiver, startReceiver } from "./receiver.ts";
import { startRecordingProxy } from "./recording-proxy.ts";
import { median } from "./statistics.ts";
import { atLeast, digits, mark } from "./table.ts";
import { sendAll, startWorker } from "./worker-process.ts";

const TARGET = atLeast(0.97);
const PROMPT_CHARACTERS = 100;
const CONTEXT = 1_024;

export const endToEnd: Bench = {
  about: "a backlog through queue, worker and engine, beside the bare engine with the very same requests",
  options: {
    model: { type: "string" },
    format: { type: "string", default: "Q4_0" },
    jobs: { type: "string", default: "200" },
    slots: { type: "string", default: "8" },
    threads: { type: "string", default: "1" },
    rounds: { type: "string", default: "2" },
    tokens: { type: "string", default: "24" },
  },
  async run(values, print) {
    const own = typeof values.model === "string" ? values.model : undefined;
    const model = own ?? (await smallModel(oneOf(values, "format", FORMATS)));
    const [jobs, slots, threads, rounds, tokens] = ["jobs", "slots", "threads", "rounds", "tokens"].map(
      (flag) => whole(values, flag),
    ) as [number, number, number, number, number];
    const words = { model: modelWords(modelFile(model)), threads, slots, jobs, rounds, "tokens out": tokens };
    print(`${factsLine(machine(), words)}\n`);
    const runs = await measureRuns({ model, jobs, slots, threads, rounds, tokens });
    return {
      machine: machine(),
      model: modelFile(model),
      jobs,
      slots,
      threads,
      tokens,
      ...report(runs, print),
    };
  },
};

type Plan = { model: string; jobs: number; slots: number; threads: number; rounds: number; tokens: number };
type Who = "bare" | "worker";
type Run = { who: Who; wallSeconds: number; engineCpu: number; workerCpu: number; jobs: number };
type House = {
  plan: Plan;
  folder: string;
  engine: ServerProcess;
  local: LocalAws;
  clients: AwsClients;
  receiver: Receiver;
};

async function measureRuns(plan: Plan): Promise<Run[]> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "kamado-bench-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const { model, slots, threads } = plan;
  const engine = await startOurEngine({
    model,
    slots,
    threads,
    contextSize: CONTEXT,
    backend: "node-llama-cpp",
  });
  stack.defer(() => engine.stop());
  const local = await startLocalAws({ port: 0 });
  stack.defer(() => local.stop());
  const clients = makeAwsClients(local);
  stack.defer(() => clients.destroy());
  const receiver = await startReceiver();
  stack.defer(() => receiver.stop());
  const house: House = { plan, folder, engine, local, clients, receiver };

  const calls = await record(house);
  const worker = await startWorker({ ...house, engineUrl: engine.url, slots, receiverUrl: receiver.url });
  stack.defer(() => worker.stop());
  const runs: Run[] = [];
  for (const who of interleave<Who>("bare", "worker", plan.rounds)) {
    runs.push(who === "bare" ? await runBare(house, calls) : await runWorker(house, worker.pid, runs.length));
    process.stderr.write(`measured ${who}\n`);
  }
  return runs;
}

/** One backlog through a worker of its own, which also warms the engine up. */
async function record(house: House): Promise<Call[]> {
  const { engine, receiver, plan } = house;
  const proxy = await startRecordingProxy(engine.url);
  const worker = await startWorker({
    ...house,
    engineUrl: proxy.url,
    slots: plan.slots,
    receiverUrl: receiver.url,
  });
  try {
    await backlog(house, "record");
    return proxy.calls;
  } finally {
    await worker.stop();
    await proxy.stop();
  }
}

/** Sends all jobs; resolves when the last result has been delivered. */
async function backlog({ plan, receiver, clients, local }: House, name: string): Promise<void> {
  const jobs = Array.from({ length: plan.jobs }, (_, index) => ({
    id: `${name}-${index}`,
    kind: "prompt",
    input: { prompt: textOf(PROMPT_CHARACTERS, index + 1), maxTokens: plan.tokens },
    deliver: [{ callback: receiver.url }],
  }));
  const delivered = receiver.all(jobs.map(({ id }) => id));
  await Promise.all([sendAll(clients.sqs, local.resources.jobsQueueUrl, jobs), delivered]);
}

async function runWorker(house: House, pid: number, round: number): Promise<Run> {
  const before = [cpuSeconds(house.engine.pid), cpuSeconds(pid)] as const;
  const began = performance.now();
  await backlog(house, `round${round}`);
  const wallSeconds = (performance.now() - began) / 1_000;
  const engineCpu = cpuSeconds(house.engine.pid) - before[0];
  return {
    who: "worker",
    wallSeconds,
    engineCpu,
    workerCpu: cpuSeconds(pid) - before[1],
    jobs: house.plan.jobs,
  };
}

async function runBare({ engine, plan }: House, calls: readonly Call[]): Promise<Run> {
  const before = cpuSeconds(engine.pid);
  const { wallMs, answers } = await runLoad(calls, engine, plan.slots);
  const failed = answers.find(({ failure }) => failure !== undefined);
  if (failed) throw new Error(`The bare engine refused what the worker asked: ${failed.failure}`);
  const engineCpu = cpuSeconds(engine.pid) - before;
  return { who: "bare", wallSeconds: wallMs / 1_000, engineCpu, workerCpu: 0, jobs: plan.jobs };
}

function report(runs: readonly Run[], print: (text: string) => void): object {
  const right = (title: string): Column => ({ title, align: "right" });
  const columns = [
    { title: "run" },
    ...["wall s", "jobs/s", "engine CPU s/job", "worker CPU s/job"].map(right),
  ];
  const rows = runs.map(({ who, wallSeconds, engineCpu, workerCpu, jobs }) => [
    who,
    digits(wallSeconds, 2),
    digits(jobs / wallSeconds, 2),
    digits(engineCpu / jobs, 4),
    who === "worker" ? digits(workerCpu / jobs, 4) : "",
  ]);
  print(table(columns, rows));
  const ratio = throughputRatio(runs);
  print(`\njobs/s of the worker against the bare engine: ${digits(ratio, 3)}  ${mark(ratio, TARGET)}`);
  return { runs, ratio, target: TARGET.value };
}

/** Of the medians. */
export function throughputRatio(runs: readonly Pick<Run, "who" | "wallSeconds" | "jobs">[]): number {
  const rate = (wanted: Who) =>
    median(runs.filter(({ who }) => who === wanted).map(({ jobs, wallSeconds }) => jobs / wallSeconds));
  return rate("worker") / rate("bare");
}
