// `bench neighbours`: what honest jobs notice of an attacker. Eight jobs a second go through queue, worker, engine and delivery,
// first alone, then beside one attacker (attackers.ts). Worker, engine and queue are new for each attacker, so that none meets
// what another left behind.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { PutObjectCommand } from "@aws-sdk/client-s3";
import sharp from "sharp";
import { HOME } from "../worker/config/config.ts";
import { KamadoError } from "../worker/errors.ts";
import { type Column, table } from "../worker/logging/terminal.ts";
import { type Bench, oneOf, whole } from "./arguments.ts";
import { ATTACKERS, type AttackerName, RULES, startSilentReceivers, type Target } from "./attackers.ts";
import { startAwsProcess } from "./aws-process.ts";
import { percentile } from "./figures.ts";
import { freePort } from "./free-port.ts";
import { programIn } from "./llama-server-process.ts";
import { factsLine, machine } from "./machine.ts";
import { familyBytes } from "./process-usage.ts";
import { startReceiver } from "./receiver.ts";
import type { Session } from "./session.ts";
import { atMost, digits, mark, megabytes } from "./table.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { sendAll, startWorker } from "./worker-process.ts";

/** Honest jobs may take twice as long as without the attacker. */
const TARGET = atMost(2);
const BACKENDS = ["node-llama-cpp", "llama-node", "llama-server"] as const;
type Backend = (typeof BACKENDS)[number];
const NAMES = Object.keys(ATTACKERS) as AttackerName[];

export const neighbours: Bench = {
  about: "how long honest jobs take beside an attacker, against how long they take alone",
  options: {
    backend: { type: "string", default: "all" },
    attack: { type: "string", default: "all" },
    rate: { type: "string", default: "8" },
    seconds: { type: "string", default: "15" },
    slots: { type: "string", default: "8" },
  },
  async run(values, session) {
    const [rate, seconds, slots] = [whole(values, "rate"), whole(values, "seconds"), whole(values, "slots")];
    const backend = oneOf(values, "backend", ["all", ...BACKENDS]);
    const attack = oneOf(values, "attack", ["all", ...NAMES]);
    const backends = backend === "all" ? installed(session) : [backend];
    const attackers = attack === "all" ? NAMES : [attack];
    session.print(`${factsLine(machine(), { rate, seconds, slots })}\n`);
    const rows: Row[] = [];
    for (const one of backends)
      for (const attacker of attackers) {
        rows.push(await measure({ backend: one, attacker, rate, seconds, slots }, session));
        process.stderr.write(`measured ${attacker} on ${one}: ${digits(ratioOf(rows.at(-1)!), 2)}\n`);
      }
    session.print(rowsTable(rows));
    return { machine: machine(), rate, seconds, slots, rows, target: TARGET.value };
  },
};

function installed({ print }: Session): Backend[] {
  if (programIn() !== undefined) return [...BACKENDS];
  print("llama-server is not measured: none is installed (`kamado engine install-llama-server`).");
  return BACKENDS.filter((backend) => backend !== "llama-server");
}

/** With node-llama-cpp all honest jobs are texts, and the worker refuses pictures after it has decoded them. */
const seesPictures = (backend: Backend) => backend !== "node-llama-cpp";

type Plan = { backend: Backend; attacker: AttackerName; rate: number; seconds: number; slots: number };

/** How the honest jobs of one phase went. A job that has not ended when the phase is given up took as long as was waited. */
type Phase = { p50: number; p95: number; longest: number; jobs: number; failed: number; unfinished: number };
type Row = Pick<Plan, "backend" | "attacker"> & {
  alone: Phase;
  beside: Phase;
  /** The most memory of the worker, its engine and their children. */
  peakBytes: number;
  /** How the attacker's jobs ended, such as `2 schema_unsupported`. Empty when none has ended. */
  attackEnded: string;
};

const PICTURE = "in/honest.png";
const WARM_SECONDS = 3;

async function measure(plan: Plan, session: Session): Promise<Row> {
  await using stack = new AsyncDisposableStack();
  const attacks: string[] = [];
  const honest = new HonestJobs();
  const receiver = await startReceiver(({ id, status, error }) => {
    if (id.startsWith("attack-")) attacks.push(error?.code ?? status);
    else honest.ended(id, status === "succeeded");
  });
  stack.defer(() => receiver.stop());
  const target = await start(plan, receiver.url, session, stack);
  const attacker = ATTACKERS[plan.attacker];
  if ("prepare" in attacker) await attacker.prepare?.(target);
  await honest.send("warm", { ...plan, seconds: WARM_SECONDS }, target, session);
  const alone = await honest.send("alone", plan, target, session);
  const memory = watchMemory(target.workerPid);
  const over = new AbortController();
  const attacking = attacker.attack({ ...target, signal: over.signal });
  const seconds = plan.seconds * ("times" in attacker ? attacker.times : 1);
  const beside = await honest.send("beside", { ...plan, seconds }, target, session);
  over.abort();
  await attacking;
  const { backend } = plan;
  return {
    backend,
    attacker: plan.attacker,
    alone,
    beside,
    peakBytes: memory.stop(),
    attackEnded: counted(attacks),
  };
}

/** A worker with an engine of its own, as `kamado worker` starts it, on the demo model. */
async function start(
  { backend, slots }: Plan,
  receiverUrl: string,
  session: Session,
  stack: AsyncDisposableStack,
): Promise<Target> {
  const folder = temporaryFolder(stack);
  const aws = await startAwsProcess(session);
  stack.defer(() => aws.stop());
  const silentUrls = await startSilentReceivers(stack);
  const enginePort = await freePort();
  const rules = join(folder, "rules.json");
  writeFileSync(rules, JSON.stringify(RULES));
  const variables = {
    KAMADO_BACKEND: backend,
    KAMADO_MODEL: join(HOME, "models/demo/kamado-demo.gguf"),
    ...(seesPictures(backend) && { KAMADO_MMPROJ: join(HOME, "models/demo/kamado-demo-mmproj.gguf") }),
    KAMADO_ENGINE_PORT: String(enginePort),
    KAMADO_RULES_FILE: rules,
    KAMADO_DEAD_QUEUE_URL: aws.resources.deadQueueUrl,
    ...(backend === "llama-server" && { KAMADO_LLAMA_SERVER: programIn()! }),
  };
  const options = { local: aws, slots, receiverUrl, otherReceivers: silentUrls, folder, variables };
  const worker = await startWorker(options, session);
  stack.defer(() => worker.stop());
  await putPicture(aws);
  const engineUrl = `http://127.0.0.1:${enginePort}`;
  await untilReady(engineUrl, session);
  return { aws, engineUrl, workerPid: worker.pid, receiverUrl, silentUrls, signal: session.signal };
}

async function putPicture({ clients, resources }: Target["aws"]): Promise<void> {
  const create = { width: 320, height: 240, channels: 3, background: "#c33" } as const;
  const Body = await sharp({ create }).png().toBuffer();
  await clients.s3.send(new PutObjectCommand({ Bucket: resources.bucket, Key: PICTURE, Body }));
}

const START_MS = 120_000;

async function untilReady(engineUrl: string, session: Session): Promise<void> {
  const end = performance.now() + START_MS;
  while (performance.now() < end) {
    const answer = await fetch(`${engineUrl}/health`, { signal: session.signal }).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(100, undefined, { signal: session.signal });
  }
  throw new KamadoError("engine_unavailable", `The engine does not serve after ${START_MS / 1_000} s.`);
}

/** After the last job was sent, this long is waited for those that have not ended. */
const PATIENCE_MS = 120_000;

class HonestJobs {
  readonly #waiting = new Map<string, (succeeded: boolean) => void>();

  /** The first result of a job counts. */
  ended(id: string, succeeded: boolean): void {
    this.#waiting.get(id)?.(succeeded);
    this.#waiting.delete(id);
  }

  /** Sends jobs at a steady rate, whether or not earlier ones have ended. Resolves when all have ended, or patience is over. */
  async send(name: string, { backend, rate, seconds }: Plan, target: Target, session: Session) {
    const { aws } = target;
    const began = performance.now();
    const patience = sleep(seconds * 1_000 + PATIENCE_MS, undefined, { signal: session.signal, ref: false });
    patience.catch(() => {});
    const jobs = Array.from({ length: rate * seconds }, async (_, index) => {
      await sleep((index * 1_000) / rate, undefined, { signal: session.signal });
      const body = honestJob(`${name}-${index}`, index, seesPictures(backend), target);
      const sentAt = performance.now();
      const end = new Promise<boolean>((resolve) => this.#waiting.set(body.id, resolve));
      await sendAll(aws.clients.sqs, aws.resources.jobsQueueUrl, [body]);
      const succeeded = await Promise.race([end, patience.then(() => undefined)]);
      return { ms: performance.now() - sentAt, succeeded };
    });
    const ended = await session.during(Promise.all(jobs));
    process.stderr.write(
      `${name}: ${ended.length} jobs in ${digits((performance.now() - began) / 1_000, 1)} s\n`,
    );
    return phaseOf(ended);
  }
}

/** Seven todos, then a picture. */
function honestJob(id: string, index: number, hasPicture: boolean, { aws, receiverUrl }: Target) {
  const deliver = [{ callback: receiverUrl }];
  const image = `s3://${aws.resources.bucket}/${PICTURE}`;
  if (hasPicture && index % 8 === 7)
    return { id, kind: "image.check", input: { image, question: "Is it locked?" }, deliver };
  const todos = ["pay the rent", "water the plants", "call the bank"].map((title, at) => ({ id: at, title }));
  const text = `I paid the rent of month ${index}.`;
  return { id, kind: "todo.match", input: { text, todos }, deliver };
}

type Ended = { ms: number; succeeded: boolean | undefined };

/** Pure. */
export function phaseOf(ended: readonly Ended[]): Phase {
  const took = ended.map(({ ms }) => ms);
  const count = (wanted: boolean | undefined) => ended.filter(({ succeeded }) => succeeded === wanted).length;
  return {
    p50: percentile(took, 50),
    p95: percentile(took, 95),
    longest: Math.max(...took),
    jobs: ended.length,
    failed: count(false),
    unfinished: count(undefined),
  };
}

/** How many times longer the honest jobs take, at the 95th percentile. A job that failed or has not ended meets no target. */
export function ratioOf({ alone, beside }: Pick<Row, "alone" | "beside">): number {
  const isBad = [alone, beside].some(({ failed, unfinished }) => failed + unfinished > 0);
  return isBad ? Number.NaN : beside.p95 / alone.p95;
}

const LOOK_MS = 500;

function watchMemory(pid: number): { stop(): number } {
  let peak = familyBytes(pid);
  const timer = setInterval(() => {
    peak = Math.max(peak, familyBytes(pid));
  }, LOOK_MS);
  return {
    stop: () => {
      clearInterval(timer);
      return peak;
    },
  };
}

/** `2 budget_exceeded, 1 succeeded` */
export function counted(names: readonly string[]): string {
  const groups = Map.groupBy(names, (name) => name);
  return [...groups].map(([name, { length }]) => `${length} ${name}`).join(", ");
}

function rowsTable(rows: readonly Row[]): string {
  const right = (title: string): Column => ({ title, align: "right" });
  const columns = [
    { title: "backend" },
    { title: "attacker" },
    ...["alone p50", "p95 ms", "beside p50", "p95 ms", "longest ms", "bad", "ratio"].map(right),
    { title: "" },
    right("peak MB"),
    { title: "how the attacker's jobs ended" },
  ];
  const lines = rows.map((row) => [
    row.backend,
    row.attacker,
    digits(row.alone.p50, 0),
    digits(row.alone.p95, 0),
    digits(row.beside.p50, 0),
    digits(row.beside.p95, 0),
    digits(row.beside.longest, 0),
    String(row.beside.failed + row.beside.unfinished),
    digits(ratioOf(row), 2),
    mark(ratioOf(row), TARGET),
    megabytes(row.peakBytes),
    row.attackEnded,
  ]);
  return table(columns, lines);
}
