// `bench idle`: what a worker costs that has nothing to do: how soon it polls after its start, its memory, and its CPU time.
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { HOME } from "../worker/config/config.ts";
import { type Column, fit, table } from "../worker/logging/terminal.ts";
import { type Bench, whole } from "./arguments.ts";
import { type AwsProcess, startAwsProcess } from "./aws-process.ts";
import { startOurEngine } from "./engine-process.ts";
import { factsLine, machine } from "./machine.ts";
import { cpuSeconds, residentBytes } from "./process-usage.ts";
import type { Session } from "./session.ts";
import { atMost, digits, mark, megabytes, percent, type Target } from "./table.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { startWorker } from "./worker-process.ts";

const SLOTS = 16;
const TARGETS = { residentMB: atMost(120), pollSeconds: atMost(0.5), idleShare: atMost(0.01) };
/** The first start of a checkout compiles the code for all later ones, and writes it to disk at its end. */
const WARM_UP = 1;

export const idle: Bench = {
  about: "a worker without jobs: its first poll after the start, its memory and CPU time",
  options: {
    starts: { type: "string", default: "5" },
    seconds: { type: "string", default: "20" },
    /** The folder of another version of Kamado, measured in turn with this one. */
    other: { type: "string", multiple: true },
  },
  async run(values, session) {
    const { print } = session;
    const [starts, seconds] = [whole(values, "starts"), whole(values, "seconds")];
    const homes = [HOME, ...((values.other ?? []) as unknown as string[])];
    print(`${factsLine(machine(), { starts, "idle for": `${seconds} s` })}\n`);
    const measured = await measure(homes, { starts, seconds }, session);
    print(`${idleTable(measured)}\n`);
    const verdicts = verdictsOf(measured[0]!.starts);
    for (const { name, text, value, target } of verdicts)
      print(`${name}: ${text}  ${fit(mark(value, target))}`);
    return { machine: machine(), measured, verdicts };
  },
};

export type Start = {
  /** From the start of the process to its first request for messages: time that passed, and CPU time of the process. */
  pollSeconds: number;
  pollCpuSeconds: number;
  /** After it had nothing to do for a while. */
  residentBytes: number;
  /** Of one core. */
  idleShare: number;
};
type Measured = { home: string; starts: Start[] };

async function measure(
  homes: readonly string[],
  { starts, seconds }: { starts: number; seconds: number },
  session: Session,
): Promise<Measured[]> {
  await using stack = new AsyncDisposableStack();
  const aws = await startAwsProcess(session);
  stack.defer(() => aws.stop());
  const engine = await startOurEngine({ backend: "scripted", slots: SLOTS }, session);
  stack.defer(() => engine.stop());
  const all = homes.map((home): Measured => ({ home, starts: [] }));
  for (let turn = 0; turn < WARM_UP + starts; turn++)
    for (const one of all) {
      const start = await measureStart({ home: one.home, aws, engineUrl: engine.url, seconds }, session);
      if (turn >= WARM_UP) one.starts.push(start);
      process.stderr.write(`${digits(start.pollSeconds, 2)} s, ${megabytes(start.residentBytes)} MB\n`);
    }
  return all;
}

type What = { home: string; aws: AwsProcess; engineUrl: string; seconds: number };

async function measureStart({ home, aws, engineUrl, seconds }: What, session: Session): Promise<Start> {
  await using stack = new AsyncDisposableStack();
  const folder = temporaryFolder(stack);
  const polls = await watchPolls(aws.endpoint);
  stack.defer(() => polls.close());
  const at = (url: string) => url.replace(aws.endpoint, polls.endpoint);
  const { jobsQueueUrl, deliveriesQueueUrl } = aws.resources;
  const resources = {
    ...aws.resources,
    jobsQueueUrl: at(jobsQueueUrl),
    deliveriesQueueUrl: at(deliveriesQueueUrl),
  };
  const local = { ...aws, endpoint: polls.endpoint, resources };
  const began = performance.now();
  const worker = await startWorker(
    { home, local, engineUrl, slots: SLOTS, receiverUrl: engineUrl, folder },
    session,
  );
  stack.defer(() => worker.stop());
  const polled = await session.during(polls.first);
  const pollCpuSeconds = cpuSeconds(worker.pid);
  await session.during(passed(seconds));
  const [from, cpu] = [performance.now(), cpuSeconds(worker.pid)];
  await session.during(passed(seconds));
  return {
    pollSeconds: (polled - began) / 1_000,
    pollCpuSeconds,
    residentBytes: residentBytes(worker.pid),
    idleShare: (cpuSeconds(worker.pid) - cpu) / ((performance.now() - from) / 1_000),
  };
}

const passed = (seconds: number) => new Promise((done) => setTimeout(done, seconds * 1_000));

/** Passes everything on. `first` resolves with the time of the first request for messages. */
async function watchPolls(
  target: string,
): Promise<{ endpoint: string; first: Promise<number>; close(): void }> {
  const first = Promise.withResolvers<number>();
  const { hostname, port } = new URL(target);
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: hostname, port: Number(port), noDelay: true });
    near.on("data", (bytes) => {
      if (bytes.includes("ReceiveMessage")) first.resolve(performance.now());
    });
    near.pipe(far).pipe(near);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const)
      one.on("error", () => other.destroy()).on("close", () => other.destroy());
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { endpoint, first: first.promise, close: () => server.close() };
}

type Verdict = { name: string; text: string; value: number; target: Target };

/** The quickest start, because other work on the machine only makes it slower; the most memory; the median of the CPU time. */
export function verdictsOf(starts: readonly Start[]): Verdict[] {
  const seconds = Math.min(...starts.map((one) => one.pollSeconds));
  const memory = Math.max(...starts.map((one) => one.residentBytes)) / 1e6;
  const share = starts.map((one) => one.idleShare).toSorted((a, b) => a - b)[Math.floor(starts.length / 2)]!;
  const { residentMB, pollSeconds, idleShare } = TARGETS;
  return [
    { name: "memory", text: `${digits(memory, 1)} MB`, value: memory, target: residentMB },
    { name: "first poll after", text: `${digits(seconds, 2)} s`, value: seconds, target: pollSeconds },
    { name: "CPU", text: percent(share), value: share, target: idleShare },
  ];
}

function idleTable(measured: readonly Measured[]): string {
  const columns: Column[] = [
    { title: "Kamado" },
    ...["first poll s", "CPU s until then", "RSS MB", "idle CPU"].map(
      (title): Column => ({ title, align: "right" }),
    ),
  ];
  const rows = measured.flatMap(({ home, starts }) =>
    starts.map((one) => [
      home === HOME ? "this one" : home,
      digits(one.pollSeconds, 2),
      digits(one.pollCpuSeconds, 2),
      megabytes(one.residentBytes),
      percent(one.idleShare),
    ]),
  );
  return table(columns, rows);
}
