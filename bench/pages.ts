// `bench pages`: what open pages cost a worker: its CPU time with so many readers of the events and without, at the same rate of jobs, and
// its memory while readers do not read.
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Column, fit, table } from "../worker/logging/terminal.ts";
import { type Bench, whole } from "./arguments.ts";
import { type AwsProcess, startAwsProcess } from "./aws-process.ts";
import { startOurEngine } from "./engine-process.ts";
import { interleave, median } from "./figures.ts";
import { freePort } from "./free-port.ts";
import { factsLine, machine } from "./machine.ts";
import { cpuSeconds, residentBytes } from "./process-usage.ts";
import { type Receiver, startReceiver } from "./receiver.ts";
import type { Session } from "./session.ts";
import { atMost, digits, mark, megabytes } from "./table.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { sendAll, startWorker } from "./worker-process.ts";

const SLOTS = 16;
const CPU = atMost(1.05);
/** Of the garbage that differs between two measurements, and what waits for each reader. MB. */
const GROWTH = atMost(30);
const BATCH = 10;

export const pages: Bench = {
  about:
    "what open pages cost the worker: CPU time with and without them, memory with pages that do not read",
  options: {
    pages: { type: "string", default: "50" },
    rate: { type: "string", default: "100" },
    seconds: { type: "string", default: "10" },
    rounds: { type: "string", default: "4" },
  },
  async run(values, session) {
    const { print } = session;
    const of = (flag: string) => whole(values, flag);
    const plan = { pages: of("pages"), rate: of("rate"), seconds: of("seconds"), rounds: of("rounds") };
    print(`${factsLine(machine(), { ...plan, slots: SLOTS })}\n`);
    await using stack = new AsyncDisposableStack();
    const parts = await start(session, stack);
    const rounds = await measureRounds(plan, parts);
    const cpuRatio = ratioOf(rounds);
    const silent = await measureSilent(plan, parts);
    print(`${roundsTable(rounds)}\n`);
    print(`CPU time with ${plan.pages} pages / without: ${digits(cpuRatio, 3)}  ${fit(mark(cpuRatio, CPU))}`);
    print(
      `memory added by ${plan.pages} pages that never read: ${megabytes(silent)} MB  ${fit(mark(silent / 1e6, GROWTH))}`,
    );
    return { machine: machine(), ...plan, rounds, cpuRatio, silentBytes: silent };
  },
};

type Plan = { pages: number; rate: number; seconds: number; rounds: number };
type Parts = { session: Session; aws: AwsProcess; receiver: Receiver; pid: number; port: number };
type Way = "without" | "with";
type Round = { way: Way; cpuPerJobMs: number; jobsPerSecond: number; bytesRead: number };

async function start(session: Session, stack: AsyncDisposableStack): Promise<Parts> {
  const folder = temporaryFolder(stack);
  const aws = await startAwsProcess(session);
  stack.defer(() => aws.stop());
  const engine = await startOurEngine({ backend: "scripted", slots: SLOTS }, session);
  stack.defer(() => engine.stop());
  const receiver = await startReceiver();
  stack.defer(() => receiver.stop());
  const port = await freePort();
  const urls = { engineUrl: engine.url, receiverUrl: receiver.url };
  const worker = await startWorker({ local: aws, ...urls, slots: SLOTS, folder, webPort: port }, session);
  stack.defer(() => worker.stop());
  return { session, aws, receiver, pid: worker.pid, port };
}

let sent = 0;

/** At an even rate; resolves when the last result has been delivered. */
async function runJobs({ rate, seconds }: Plan, { session, aws, receiver }: Parts): Promise<number> {
  const jobs = Array.from({ length: rate * seconds }, () => ({
    id: `pages-${sent++}`,
    kind: "prompt",
    input: { prompt: `Say ${sent}.`, maxTokens: 8 },
    deliver: [{ callback: receiver.url }],
  }));
  const delivered = receiver.all(jobs.map(({ id }) => id));
  const began = performance.now();
  for (let at = 0; at < jobs.length; at += BATCH) {
    await sendAll(aws.clients.sqs, aws.resources.jobsQueueUrl, jobs.slice(at, at + BATCH));
    const due = began + ((at + BATCH) / rate) * 1_000;
    await sleep(Math.max(0, due - performance.now()), undefined, { signal: session.signal });
  }
  await session.during(delivered);
  return jobs.length / ((performance.now() - began) / 1_000);
}

async function measureRounds(plan: Plan, parts: Parts): Promise<Round[]> {
  // Code is compiled in the first seconds.
  await runJobs({ ...plan, seconds: 5 }, parts);
  const rounds: Round[] = [];
  for (const way of interleave<Way>(["without", "with"], plan.rounds)) {
    const open = way === "with" ? await openPages(plan.pages, parts.port, { reads: true }) : null;
    const before = cpuSeconds(parts.pid);
    const jobsPerSecond = await runJobs(plan, parts);
    const cpuPerJobMs = ((cpuSeconds(parts.pid) - before) * 1_000) / (plan.rate * plan.seconds);
    rounds.push({ way, cpuPerJobMs, jobsPerSecond, bytesRead: open?.bytes() ?? 0 });
    open?.close();
    process.stderr.write(`${way} pages: ${digits(cpuPerJobMs, 2)} ms of CPU a job\n`);
  }
  return rounds;
}

async function measureSilent(plan: Plan, parts: Parts): Promise<number> {
  const before = residentBytes(parts.pid);
  const open = await openPages(plan.pages, parts.port, { reads: false });
  await runJobs(plan, parts);
  const added = residentBytes(parts.pid) - before;
  open.close();
  return added;
}

async function openPages(count: number, port: number, { reads }: { reads: boolean }) {
  let bytes = 0;
  const sockets: Socket[] = [];
  for (let page = 0; page < count; page++) {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    socket.write(`GET /events HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\n\r\n`);
    if (reads) socket.on("data", (chunk) => (bytes += chunk.length));
    else socket.pause();
    socket.on("error", () => {});
    sockets.push(socket);
  }
  return { bytes: () => bytes, close: () => sockets.forEach((socket) => void socket.destroy()) };
}

const cpuOf = (rounds: readonly Round[], way: Way) =>
  median(rounds.filter((round) => round.way === way).map(({ cpuPerJobMs }) => cpuPerJobMs));

export const ratioOf = (rounds: readonly Round[]): number => cpuOf(rounds, "with") / cpuOf(rounds, "without");

function roundsTable(rounds: readonly Round[]): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const columns = [{ title: "pages" }, ...["CPU ms/job", "jobs/s", "read MB"].map(right)];
  const rows = rounds.map(({ way, cpuPerJobMs, jobsPerSecond, bytesRead }) => [
    way,
    digits(cpuPerJobMs, 2),
    digits(jobsPerSecond, 1),
    megabytes(bytesRead),
  ]);
  return table(columns, rows);
}
