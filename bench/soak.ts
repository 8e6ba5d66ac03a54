// `bench soak`: whether a worker grows with the jobs it has done: its memory, handles and file descriptors at each tenth.
import { readdirSync } from "node:fs";
import type { State } from "../worker/console/state.ts";
import { type Bench, whole } from "./arguments.ts";
import { type AwsProcess, startAwsProcess } from "./aws-process.ts";
import { cpuSeconds, residentBytes } from "./cpu-time.ts";
import { startOurEngine } from "./engine-process.ts";
import { freePort } from "./free-port.ts";
import { factsLine, machine } from "./machine.ts";
import { type Receiver, startReceiver } from "./receiver.ts";
import type { Session } from "./session.ts";
import { type SoakTenth, soakTable, verdictLine, verdictsOf } from "./soak-report.ts";
import { megabytes } from "./table.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { sendAll, startWorker } from "./worker-process.ts";

const TENTHS = 10;
const SLOTS = 16;

export const soak: Bench = {
  about: "the worker's memory, handles and file descriptors over many jobs",
  options: { jobs: { type: "string", default: "20000" } },
  async run(values, session) {
    const { print } = session;
    const jobs = whole(values, "jobs");
    print(`${factsLine(machine(), { jobs, slots: SLOTS })}\n`);
    const tenths = await measureTenths(jobs, session);
    print(`${soakTable(tenths)}\n`);
    const verdicts = verdictsOf(tenths);
    for (const verdict of verdicts) print(verdictLine(verdict));
    return { machine: machine(), jobs, tenths, verdicts };
  },
};

type Dependencies = {
  session: Session;
  aws: AwsProcess;
  receiver: Receiver;
  worker: { pid: number; url: string };
};

async function measureTenths(jobs: number, session: Session): Promise<SoakTenth[]> {
  await using stack = new AsyncDisposableStack();
  const folder = temporaryFolder(stack);
  const aws = await startAwsProcess(session);
  stack.defer(() => aws.stop());
  const engine = await startOurEngine({ backend: "scripted", slots: SLOTS }, session);
  stack.defer(() => engine.stop());
  const receiver = await startReceiver();
  stack.defer(() => receiver.stop());
  const webPort = await freePort();
  const urls = { engineUrl: engine.url, receiverUrl: receiver.url };
  const worker = await startWorker({ local: aws, ...urls, slots: SLOTS, folder, webPort }, session);
  stack.defer(() => worker.stop());
  const dependencies = {
    session,
    aws,
    receiver,
    worker: { pid: worker.pid, url: `http://127.0.0.1:${webPort}` },
  };
  const tenths: SoakTenth[] = [];
  for (let tenth = 1; tenth <= TENTHS; tenth++) {
    const from = tenths.at(-1)?.jobs ?? 0;
    tenths.push(await measureTenth(dependencies, from, Math.round((jobs * tenth) / TENTHS)));
    process.stderr.write(`${tenths.at(-1)!.jobs} jobs: ${megabytes(tenths.at(-1)!.residentBytes)} MB\n`);
  }
  return tenths;
}

async function measureTenth(dependencies: Dependencies, from: number, to: number): Promise<SoakTenth> {
  const { session, aws, receiver, worker } = dependencies;
  const jobs = Array.from({ length: to - from }, (_, index) => ({
    id: `soak-${from + index}`,
    kind: "prompt",
    input: { prompt: `Say ${from + index}.`, maxTokens: 8 },
    deliver: [{ callback: receiver.url }],
  }));
  const [began, cpu] = [performance.now(), cpuSeconds(worker.pid)];
  const delivered = receiver.all(jobs.map(({ id }) => id));
  const sent = sendAll(aws.clients.sqs, aws.resources.jobsQueueUrl, jobs);
  await session.during(Promise.all([sent, delivered]));
  const seconds = (performance.now() - began) / 1_000;
  const state = (await (await fetch(`${worker.url}/state`, { signal: session.signal })).json()) as State;
  return {
    jobs: to,
    residentBytes: residentBytes(worker.pid),
    handles: state.process.handles,
    descriptors: descriptors(worker.pid),
    jobsPerSecond: jobs.length / seconds,
    workerCpuPerJob: (cpuSeconds(worker.pid) - cpu) / jobs.length,
  };
}

function descriptors(pid: number): number | undefined {
  return process.platform === "linux" ? readdirSync(`/proc/${pid}/fd`).length : undefined;
}
