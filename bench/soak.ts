// `bench soak`: whether a worker grows with the jobs it has done: its memory, handles and file descriptors at each tenth.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Column, table } from "../worker/cli/terminal.ts";
import type { State } from "../worker/web/state.ts";
import { type Bench, whole } from "./arguments.ts";
import { type AwsProcess, startAwsProcess } from "./aws-process.ts";
import { cpuSeconds, residentBytes } from "./cpu-time.ts";
import { startOurEngine } from "./engine-process.ts";
import { freePort } from "./free-port.ts";
import { factsLine, machine } from "./machine.ts";
import { type Receiver, startReceiver } from "./receiver.ts";
import { atMost, digits, mark, megabytes } from "./table.ts";
import { sendAll, startWorker } from "./worker-process.ts";

const TENTHS = 10;
const SLOTS = 16;
const MEMORY = atMost(120);
/** What the collector leaves lying about from one look to the next. */
const GROWTH = atMost(8);

export const soak: Bench = {
  about: "the worker's memory, handles and file descriptors over many jobs",
  options: { jobs: { type: "string", default: "20000" } },
  async run(values, print) {
    const jobs = whole(values, "jobs");
    print(`${factsLine(machine(), { jobs, slots: SLOTS })}\n`);
    const tenths = await measureTenths(jobs);
    print(soakTable(tenths));
    const [first, last] = [tenths[0]!, tenths.at(-1)!];
    const growth = (last.residentBytes - first.residentBytes) / 1e6;
    const peak = Math.max(...tenths.map((tenth) => tenth.residentBytes)) / 1e6;
    print(`\nmost memory after a tenth: ${digits(peak, 1)} MB  ${mark(peak, MEMORY)}`);
    print(`growth after the first tenth: ${digits(growth, 1)} MB  ${mark(growth, GROWTH)}`);
    return { machine: machine(), jobs, tenths, peakMegabytes: peak, growthMegabytes: growth };
  },
};

export type SoakTenth = {
  jobs: number;
  residentBytes: number;
  handles: number;
  /** Undefined where the system does not show them. */
  descriptors: number | undefined;
  jobsPerSecond: number;
  workerCpuPerJob: number;
};

type House = { aws: AwsProcess; receiver: Receiver; worker: { pid: number; url: string } };

async function measureTenths(jobs: number): Promise<SoakTenth[]> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "kamado-bench-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const aws = await startAwsProcess();
  stack.defer(() => aws.stop());
  const engine = await startOurEngine({ backend: "scripted", slots: SLOTS });
  stack.defer(() => engine.stop());
  const receiver = await startReceiver();
  stack.defer(() => receiver.stop());
  const webPort = await freePort();
  const worker = await startWorker({
    local: aws,
    engineUrl: engine.url,
    slots: SLOTS,
    receiverUrl: receiver.url,
    folder,
    webPort,
  });
  stack.defer(() => worker.stop());
  const house = { aws, receiver, worker: { pid: worker.pid, url: `http://127.0.0.1:${webPort}` } };
  const tenths: SoakTenth[] = [];
  for (let tenth = 1; tenth <= TENTHS; tenth++) {
    const from = tenths.at(-1)?.jobs ?? 0;
    tenths.push(await measureTenth(house, from, Math.round((jobs * tenth) / TENTHS)));
    process.stderr.write(`${tenths.at(-1)!.jobs} jobs: ${megabytes(tenths.at(-1)!.residentBytes)} MB\n`);
  }
  return tenths;
}

async function measureTenth({ aws, receiver, worker }: House, from: number, to: number): Promise<SoakTenth> {
  const jobs = Array.from({ length: to - from }, (_, index) => ({
    id: `soak-${from + index}`,
    kind: "prompt",
    input: { prompt: `Say ${from + index}.`, maxTokens: 8 },
    deliver: [{ callback: receiver.url }],
  }));
  const [began, cpu] = [performance.now(), cpuSeconds(worker.pid)];
  const delivered = receiver.all(jobs.map(({ id }) => id));
  await Promise.all([sendAll(aws.clients.sqs, aws.resources.jobsQueueUrl, jobs), delivered]);
  const seconds = (performance.now() - began) / 1_000;
  const state = (await (await fetch(`${worker.url}/state`)).json()) as State;
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

function soakTable(tenths: readonly SoakTenth[]): string {
  const columns = [
    "jobs",
    "RSS MB",
    "since the first tenth",
    "handles",
    "descriptors",
    "jobs/s",
    "CPU ms/job",
  ];
  const first = tenths[0]!.residentBytes;
  const rows = tenths.map((tenth) => [
    String(tenth.jobs),
    megabytes(tenth.residentBytes),
    megabytes(tenth.residentBytes - first),
    String(tenth.handles),
    digits(tenth.descriptors, 0),
    digits(tenth.jobsPerSecond, 0),
    digits(tenth.workerCpuPerJob * 1_000, 1),
  ]);
  return table(
    columns.map((title): Column => ({ title, align: "right" })),
    rows,
  );
}
