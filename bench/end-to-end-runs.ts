// The runs of `bench end-to-end`: what stands for them, how the worker's questions are recorded, and one run of either kind.
import { type AwsClients, makeAwsClients } from "../worker/aws/clients.ts";
import { KamadoError } from "../worker/errors.ts";
import { type LocalAws, startLocalAws } from "../worker/local/local-aws.ts";
import { cpuSeconds } from "./cpu-time.ts";
import { type ServerProcess, startOurEngine } from "./engine-process.ts";
import { interleave } from "./interleave.ts";
import { type Call, runLoad } from "./load.ts";
import { textOf } from "./prompts.ts";
import { type Receiver, startReceiver } from "./receiver.ts";
import { startRecordingProxy } from "./recording-proxy.ts";
import type { Session } from "./session.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { sendAll, startWorker } from "./worker-process.ts";

export type Plan = {
  model: string;
  jobs: number;
  slots: number;
  threads: number;
  rounds: number;
  tokens: number;
};
export type Who = "bare" | "worker";
export type Run = { who: Who; wallSeconds: number; engineCpu: number; workerCpu: number; jobs: number };
type Dependencies = {
  plan: Plan;
  session: Session;
  folder: string;
  engine: ServerProcess;
  local: LocalAws;
  clients: AwsClients;
  receiver: Receiver;
};

const PROMPT_CHARACTERS = 100;
const CONTEXT = 1_024;
/** So many jobs a slot go through either side before anything counts. */
const WARM_ROUNDS = 2;

export async function measureRuns(plan: Plan, session: Session): Promise<Run[]> {
  await using stack = new AsyncDisposableStack();
  const dependencies = await open(plan, session, stack);
  const calls = await record(dependencies);
  const worker = await workerOf(dependencies, dependencies.engine.url);
  stack.defer(() => worker.stop());
  // The worker that is measured has just been started: its boot, and what a first job loads, must fall into no run.
  const few = Math.min(plan.jobs, WARM_ROUNDS * plan.slots);
  await backlog(dependencies, "warm", few);
  await runBare(dependencies, calls.slice(0, few));
  const runs: Run[] = [];
  for (const who of interleave<Who>(["bare", "worker"], plan.rounds)) {
    runs.push(
      who === "bare"
        ? await runBare(dependencies, calls)
        : await runWorker(dependencies, worker.pid, runs.length),
    );
    process.stderr.write(`measured ${who}\n`);
  }
  return runs;
}

async function open(plan: Plan, session: Session, stack: AsyncDisposableStack): Promise<Dependencies> {
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

const workerOf = ({ local, plan, receiver, folder, session }: Dependencies, engineUrl: string) =>
  startWorker({ local, engineUrl, slots: plan.slots, receiverUrl: receiver.url, folder }, session);

/** One backlog through a worker of its own. */
async function record(dependencies: Dependencies): Promise<Call[]> {
  const { engine, plan } = dependencies;
  await using stack = new AsyncDisposableStack();
  const proxy = await startRecordingProxy(engine.url);
  stack.defer(() => proxy.stop());
  const worker = await workerOf(dependencies, proxy.url);
  stack.defer(() => worker.stop());
  await backlog(dependencies, "record", plan.jobs);
  if (proxy.calls.length === plan.jobs) return proxy.calls;
  const words = `${plan.jobs} jobs asked the engine ${proxy.calls.length} times: some were tried again.`;
  throw new KamadoError("engine_unavailable", words);
}

/** Sends the first so many jobs; resolves when the last result has been delivered. */
async function backlog(dependencies: Dependencies, name: string, count: number): Promise<void> {
  const { plan, receiver, clients, local, session } = dependencies;
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

async function runWorker(dependencies: Dependencies, pid: number, round: number): Promise<Run> {
  const { engine, plan } = dependencies;
  const before = [cpuSeconds(engine.pid), cpuSeconds(pid)] as const;
  const began = performance.now();
  await backlog(dependencies, `round${round}`, plan.jobs);
  const wallSeconds = (performance.now() - began) / 1_000;
  const engineCpu = cpuSeconds(engine.pid) - before[0];
  return { who: "worker", wallSeconds, engineCpu, workerCpu: cpuSeconds(pid) - before[1], jobs: plan.jobs };
}

async function runBare({ engine, plan, session }: Dependencies, calls: readonly Call[]): Promise<Run> {
  const before = cpuSeconds(engine.pid);
  const { wallMs, answers } = await runLoad(calls, engine, plan.slots, session.signal);
  const failed = answers.find(({ failure }) => failure !== undefined);
  const words = `The bare engine refused what the worker asked: ${failed?.failure}`;
  if (failed) throw new KamadoError("engine_unavailable", words);
  const engineCpu = cpuSeconds(engine.pid) - before;
  return { who: "bare", wallSeconds: wallMs / 1_000, engineCpu, workerCpu: 0, jobs: calls.length };
}
