// `bench soak`: whether a worker grows with the jobs it has done: its memory, handles and file descriptors after each tenth.
import { readdirSync } from "node:fs";
import type { State } from "../worker/console/state.ts";
import { type Column, fit, table } from "../worker/logging/terminal.ts";
import { type Bench, whole } from "./arguments.ts";
import { type AwsProcess, startAwsProcess } from "./aws-process.ts";
import { startOurEngine } from "./engine-process.ts";
import { freePort } from "./free-port.ts";
import { factsLine, machine } from "./machine.ts";
import { cpuSeconds, residentBytes } from "./process-usage.ts";
import { type Receiver, startReceiver } from "./receiver.ts";
import type { Session } from "./session.ts";
import { atMost, digits, mark, megabytes, type Target } from "./table.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { sendAll, startWorker } from "./worker-process.ts";

const TENTHS = 10;
const SLOTS = 16;
const MEMORY = atMost(120);
/** The garbage that has not been collected yet differs by this much between two measurements. */
const GROWTH = atMost(8);
/** Connections open and close all the time, by the dozen, but their highest number stays nearly the same. */
const OPEN = atMost(8);

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
    for (const { name, value, unit, target } of verdicts)
      print(
        `${name}: ${digits(value, unit === "" ? 0 : 1)}${unit && ` ${unit}`}  ${fit(mark(value, target))}`,
      );
    return { machine: machine(), jobs, tenths, verdicts };
  },
};

type Parts = {
  session: Session;
  aws: AwsProcess;
  receiver: Receiver;
  worker: { pid: number; url: string };
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
  const parts = { session, aws, receiver, worker: { pid: worker.pid, url: `http://127.0.0.1:${webPort}` } };
  const tenths: SoakTenth[] = [];
  for (let tenth = 1; tenth <= TENTHS; tenth++) {
    const from = tenths.at(-1)?.jobs ?? 0;
    tenths.push(await measureTenth(parts, from, Math.round((jobs * tenth) / TENTHS)));
    process.stderr.write(`${tenths.at(-1)!.jobs} jobs: ${megabytes(tenths.at(-1)!.residentBytes)} MB\n`);
  }
  return tenths;
}

async function measureTenth(parts: Parts, from: number, to: number): Promise<SoakTenth> {
  const { session, aws, receiver, worker } = parts;
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

type Verdict = { name: string; value: number; unit: string; target: Target };

export function verdictsOf(tenths: readonly SoakTenth[]): Verdict[] {
  const [first, last] = [tenths[0]!, tenths.at(-1)!];
  const added = (last.residentBytes - first.residentBytes) / 1e6;
  const peak = Math.max(...tenths.map((tenth) => tenth.residentBytes)) / 1e6;
  const open = (name: string, counts: readonly number[]): Verdict => {
    const value = peakGrowth(counts);
    return { name: `${name} above the most of the first half`, value, unit: "", target: OPEN };
  };
  const handles = tenths.map((tenth) => tenth.handles);
  const descriptors = tenths.flatMap((tenth) => tenth.descriptors ?? []);
  return [
    { name: "most memory after a tenth", value: peak, unit: "MB", target: MEMORY },
    { name: "memory added after the first tenth", value: added, unit: "MB", target: GROWTH },
    open("handles", handles),
    ...(descriptors.length > 0 ? [open("file descriptors", descriptors)] : []),
  ];
}

/** The highest of the second half minus the highest of the first half. */
function peakGrowth(counts: readonly number[]): number {
  const half = Math.ceil(counts.length / 2);
  return Math.max(...counts.slice(half)) - Math.max(...counts.slice(0, half));
}

const TITLES = ["jobs", "RSS MB", "since the first tenth", "handles", "descriptors", "jobs/s", "CPU ms/job"];

function soakTable(tenths: readonly SoakTenth[]): string {
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
    TITLES.map((title): Column => ({ title, align: "right" })),
    rows,
  );
}
