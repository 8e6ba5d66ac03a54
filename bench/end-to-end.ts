// `bench end-to-end`: what the worker costs. A backlog of jobs goes through queue, worker, engine and delivery. In alternating
// rounds the bare engine gets exactly the same requests over HTTP; they are recorded between worker and engine beforehand.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { Agent, request } from "undici";
import { type AwsClients, makeAwsClients } from "../worker/aws/clients.ts";
import { KamadoError } from "../worker/errors.ts";
import { type LocalAws, startLocalAws } from "../worker/local/local-aws.ts";
import { type Column, fit, table } from "../worker/logging/terminal.ts";
import { type Bench, fileOf, oneOf, whole } from "./arguments.ts";
import { type ServerProcess, startOurEngine } from "./engine-process.ts";
import { interleave, median } from "./figures.ts";
import { type Call, runLoad } from "./load.ts";
import { factsLine, machine, modelFile, modelText } from "./machine.ts";
import { FORMATS, smallModel } from "./models.ts";
import { cpuSeconds } from "./process-usage.ts";
import { textOf } from "./prompts.ts";
import { type Receiver, startReceiver } from "./receiver.ts";
import type { Print, Session } from "./session.ts";
import { atLeast, digits, mark } from "./table.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { sendAll, startWorker } from "./worker-process.ts";

const TARGET = atLeast(0.97);
const PROMPT_CHARACTERS = 100;
const CONTEXT = 1_024;
/** How many jobs for each slot go through both sides before the first measured run. */
const WARM_ROUNDS = 2;

export const endToEnd: Bench = {
  about: "a backlog through queue, worker and engine, beside the bare engine with the very same requests",
  options: {
    model: { type: "string" },
    format: { type: "string", default: "Q4_0" },
    jobs: { type: "string", default: "200" },
    slots: { type: "string", default: "8" },
    threads: { type: "string", default: "1" },
    rounds: { type: "string", default: "3" },
    tokens: { type: "string", default: "24" },
  },
  async run(values, session) {
    const numbers = {
      slots: whole(values, "slots"),
      threads: whole(values, "threads"),
      jobs: whole(values, "jobs"),
      rounds: whole(values, "rounds"),
      tokens: whole(values, "tokens"),
    };
    const model = fileOf(values, "model") ?? (await smallModel(oneOf(values, "format", FORMATS)));
    const plan: Plan = { model, ...numbers };
    session.print(`${factsLine(machine(), { model: modelText(modelFile(model)), ...numbers })}\n`);
    const runs = await measureRuns(plan, session);
    return { machine: machine(), ...plan, model: modelFile(model), ...report(runs, session.print) };
  },
};

type Plan = {
  model: string;
  jobs: number;
  slots: number;
  threads: number;
  rounds: number;
  tokens: number;
};
type Who = "bare" | "worker";
type Run = { who: Who; wallSeconds: number; engineCpu: number; workerCpu: number; jobs: number };

/** Everything that runs during the measurement but the worker. */
type Parts = {
  plan: Plan;
  session: Session;
  folder: string;
  engine: ServerProcess;
  local: LocalAws;
  clients: AwsClients;
  receiver: Receiver;
};

async function measureRuns(plan: Plan, session: Session): Promise<Run[]> {
  await using stack = new AsyncDisposableStack();
  const parts = await start(plan, session, stack);
  const calls = await record(parts);
  const worker = await workerOf(parts, parts.engine.url);
  stack.defer(() => worker.stop());
  // The worker has just been started. Its start, and what it loads for its first job, must not be part of a run.
  const few = Math.min(plan.jobs, WARM_ROUNDS * plan.slots);
  await runBacklog(parts, "warm", few);
  await runBare(parts, calls.slice(0, few));
  const runs: Run[] = [];
  for (const who of interleave<Who>(["bare", "worker"], plan.rounds)) {
    runs.push(who === "bare" ? await runBare(parts, calls) : await runWorker(parts, worker.pid, runs.length));
    process.stderr.write(`measured ${who}\n`);
  }
  return runs;
}

async function start(plan: Plan, session: Session, stack: AsyncDisposableStack): Promise<Parts> {
  const folder = temporaryFolder(stack);
  const { model, slots, threads } = plan;
  const flags = { model, slots, threads, contextSize: CONTEXT, backend: "node-llama-cpp" as const };
  const engine = await startOurEngine(flags, session);
  stack.defer(() => engine.stop());
  const local = await startLocalAws({ port: 0 });
  stack.defer(() => local.stop());
  const clients = makeAwsClients(local);
  stack.defer(() => clients.destroy());
  const receiver = await startReceiver();
  stack.defer(() => receiver.stop());
  return { plan, session, folder, engine, local, clients, receiver };
}

const workerOf = ({ local, plan, receiver, folder, session }: Parts, engineUrl: string) =>
  startWorker({ local, engineUrl, slots: plan.slots, receiverUrl: receiver.url, folder }, session);

/** Sends one backlog through a worker and returns the requests that it made to the engine. */
async function record(parts: Parts): Promise<Call[]> {
  const { engine, plan } = parts;
  await using stack = new AsyncDisposableStack();
  const proxy = await startRecordingProxy(engine.url);
  stack.defer(() => proxy.stop());
  const worker = await workerOf(parts, proxy.url);
  stack.defer(() => worker.stop());
  await runBacklog(parts, "record", plan.jobs);
  if (proxy.calls.length === plan.jobs) return proxy.calls;
  const message = `${plan.jobs} jobs asked the engine ${proxy.calls.length} times: some were retried.`;
  throw new KamadoError("engine_unavailable", message);
}

type RecordingProxy = { url: string; calls: Call[]; stop(): Promise<void> };

/** Forwards every request to the engine and keeps it. */
async function startRecordingProxy(engineUrl: string): Promise<RecordingProxy> {
  const calls: Call[] = [];
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0 });
  const server = createServer(async (incoming, outgoing) => {
    const { method = "GET", url: path = "/" } = incoming;
    const body = await text(incoming);
    if (method === "POST") calls.push({ path, body: JSON.parse(body) });
    const headers = { "content-type": "application/json" };
    const answer = await request(engineUrl + path, {
      method,
      headers,
      dispatcher: agent,
      ...(method === "POST" && { body }),
    });
    outgoing.writeHead(answer.statusCode, headers).end(await answer.body.text());
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const stop = async () => {
    await new Promise((closed) => {
      server.close(closed);
      server.closeAllConnections();
    });
    await agent.close();
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, calls, stop };
}

/** Sends this many jobs and resolves when the last result has been delivered. */
async function runBacklog(parts: Parts, name: string, count: number): Promise<void> {
  const { plan, receiver, clients, local, session } = parts;
  const jobs = Array.from({ length: count }, (_, index) => ({
    id: `${name}-${index}`,
    kind: "prompt",
    input: { prompt: textOf(PROMPT_CHARACTERS, index + 1), maxTokens: plan.tokens },
    deliver: [{ callback: receiver.url }],
  }));
  const delivered = receiver.all(jobs.map(({ id }) => id));
  const sent = sendAll(clients.sqs, local.resources.jobsQueueUrl, jobs);
  await session.during(Promise.all([sent, delivered]));
}

async function runWorker(parts: Parts, pid: number, round: number): Promise<Run> {
  const { engine, plan } = parts;
  const before = [cpuSeconds(engine.pid), cpuSeconds(pid)] as const;
  const began = performance.now();
  await runBacklog(parts, `round${round}`, plan.jobs);
  const wallSeconds = (performance.now() - began) / 1_000;
  const engineCpu = cpuSeconds(engine.pid) - before[0];
  return { who: "worker", wallSeconds, engineCpu, workerCpu: cpuSeconds(pid) - before[1], jobs: plan.jobs };
}

async function runBare({ engine, plan, session }: Parts, calls: readonly Call[]): Promise<Run> {
  const before = cpuSeconds(engine.pid);
  const { wallMs, answers } = await runLoad(calls, engine, plan.slots, session.signal);
  const failed = answers.find(({ failure }) => failure !== undefined);
  if (failed) {
    const message = `The bare engine refused a request that the worker had made: ${failed.failure}`;
    throw new KamadoError("engine_unavailable", message);
  }
  const engineCpu = cpuSeconds(engine.pid) - before;
  return { who: "bare", wallSeconds: wallMs / 1_000, engineCpu, workerCpu: 0, jobs: calls.length };
}

function report(runs: readonly Run[], print: Print): object {
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
  print(
    `\njobs/s of the worker against the bare engine (medians): ${digits(ratio, 3)}  ${fit(mark(ratio, TARGET))}`,
  );
  return { runs, ratio, target: TARGET.value };
}

/** The ratio of the medians. */
export function throughputRatio(runs: readonly Pick<Run, "who" | "wallSeconds" | "jobs">[]): number {
  const rate = (wanted: Who) =>
    median(runs.filter(({ who }) => who === wanted).map(({ jobs, wallSeconds }) => jobs / wallSeconds));
  return rate("worker") / rate("bare");
}
