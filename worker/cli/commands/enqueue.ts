// `kamado enqueue KIND`: puts a job on the queue; with --wait, waits for its result and its deliveries and prints them. Sending and
// waiting are the client's.
import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import {
  type AnyKinds,
  createClient,
  type JobOptions,
  type Policy,
  type Result,
} from "../../../client/client.ts";
import { makeAwsClients } from "../../aws/clients.ts";
import { destinationKey } from "../../deliver/deliver.ts";
import { KamadoError } from "../../errors.ts";
import { Destination } from "../../job/envelope.ts";
import { eventOf } from "../../job/result.ts";
import { silentLog } from "../../logging/log.ts";
import { EXIT, localTime, paint, prose } from "../../logging/terminal.ts";
import { type Attempt, createDeliveryLog } from "../../outbox/delivery-log.ts";
import { pauseWords } from "../../power/pulling-pause.ts";
import { printable, printableJson } from "../../printable.ts";
import type { Bucket } from "../../storage/bucket.ts";
import { s3Bucket } from "../../storage/s3.ts";
import { type Here, queuesHere } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { examples, notes } from "../examples.ts";
import { type Flags, flagsOf, numberFrom } from "../flags.ts";
import { inputHelp, readInput, replaceFiles } from "../read-input.ts";
import { type ServiceState, stateOf } from "../running-service.ts";

type Outcome = Result<AnyKinds>;

const WAIT_EVERY_MS = 250;
/** Seconds, as in the policy of a job. */
const MAX_TIMEOUT = 39_600;
/** Seconds. No queue keeps a message longer. */
const MAX_WAIT = 14 * 24 * 3_600;

const EXAMPLES = [
  `enqueue prompt --input '{"prompt": "Say hello"}' --wait`,
  "enqueue image.check --input check.json --wait",
  "enqueue article.extract --input - --deliver rest=https://nas.home/a",
];
const EXIT_CODES =
  "Exit codes: 0 done, 1 the job failed, 2 wrong usage, 3 something it needs is not available or there is no result yet, " +
  "4 the job is done but a destination refused its result.";

export function enqueueCommand(): Command {
  return notes(examples(new Command("enqueue"), EXAMPLES), EXIT_CODES)
    .argument("<kind>", "the kind of job: todo.match, image.check, …")
    .description("put a job on the queue (KAMADO_QUEUE_URL, else that of the Kamado that runs here)")
    .requiredOption("--input <json>", inputHelp("is uploaded"))
    .option("--id <id>", "the job's id; sending the same id twice runs the job once")
    .option("--deliver <where...>", "sns=ARN, callback=URL, rest=URL or sqs=URL; can be repeated")
    .option("--tenant <name>", "whose job it is")
    .option("--priority <n>", "0 to 9, higher first", numberFrom(0, 9, { whole: true }))
    .option("--timeout <seconds>", "the longest run", numberFrom(1, MAX_TIMEOUT))
    .option("--expires-in <seconds>", "how long it may wait to be started", numberFrom(0, MAX_WAIT))
    .option(
      "--group <name>",
      "in a FIFO queue, the group whose jobs run in order; by default each job has its own",
    )
    .option(
      "--wait [seconds]",
      "wait for the result and its deliveries, 300 seconds by default, and print it",
      numberFrom(0, MAX_WAIT),
    )
    .option("--json", "print one JSON line")
    .action(async (kind: string, _, command: Command) => {
      const flags = flagsOf(command);
      process.exitCode = await enqueue(kind, flags);
    });
}

async function enqueue(kind: string, flags: Flags): Promise<number> {
  // What is wrong with the command is said before anything is asked.
  const given = { ...(await readInput(String(flags.input))), deliver: destinations(flags.deliver) };
  const here = await queuesHere(configOf());
  const { config, cloud } = here;
  const clients = makeAwsClients(cloud.aws);
  try {
    const client = createClient<AnyKinds>({ ...clients, queueUrl: cloud.queueUrl, bucket: config.bucket });
    const input = await replaceFiles(
      given.value,
      given.folder,
      async ({ name, bytes }) => new File([bytes], name),
    );
    const job = await client.enqueue(kind, input, { ...optionsOf(flags), deliver: given.deliver });
    if (flags.wait === undefined)
      return print(flags, { id: job.id, messageId: job.messageId }, `queued ${job.id}`);
    if (flags.json !== true)
      process.stderr.write(`${paint("dim", `queued ${job.id}, waiting …`, process.stderr)}\n`);
    const end = performance.now() + Number(flags.wait === true ? 300 : flags.wait) * 1_000;
    const timeoutSeconds = (end - performance.now()) / 1_000;
    const result = await orNotReady(client.wait(job, { timeoutSeconds, onPoll: tellTrouble(here) }));
    if (!result) return giveUp(job.id, await stateOf(here));
    const code = printResult(flags, result);
    const bucket = s3Bucket(clients.s3, config.bucket);
    return (await printDeliveries(given.deliver, result, bucket, end)) ?? code;
  } finally {
    clients.destroy();
  }
}

function optionsOf(flags: Flags): JobOptions {
  const { id, group } = flags;
  return {
    ...(typeof id === "string" && { id }),
    ...(typeof group === "string" && { group }),
    policy: policy(flags),
  };
}

const orNotReady = <T>(waiting: Promise<T>): Promise<T | null> =>
  waiting.catch((thrown) => {
    if (thrown instanceof KamadoError && thrown.code === "result_not_ready") return null;
    throw thrown;
  });

const DELIVER = "give it as sns=ARN, callback=URL, rest=URL or sqs=URL";

function destinations(given: Flags[string]): Destination[] {
  const all = Array.isArray(given) ? given : [];
  return all.map((one) => {
    const [, name = "", address] = /^([^=]*)=(.*)$/s.exec(one) ?? [];
    const refuse = (why: string) => new KamadoError("invalid_input", `--deliver ${why}; ${DELIVER}.`);
    if (address === undefined) throw refuse(`"${printable(one, { max: 60 })}" has no =`);
    if (!["sns", "callback", "rest", "sqs"].includes(name))
      throw refuse(`"${printable(name, { max: 60 })}" is no kind of destination`);
    const { data } = Destination.safeParse({ [name]: address });
    if (!data) throw refuse(`${name}=… is no ${name === "sns" ? "ARN, which begins with arn:" : "URL"}`);
    return data;
  });
}

function policy({ tenant, priority, timeout, expiresIn }: Flags): Policy {
  const at = () => new Date(Date.now() + Number(expiresIn) * 1_000).toISOString();
  return {
    ...(tenant !== undefined && { tenant: String(tenant) }),
    ...(priority !== undefined && { priority: Number(priority) }),
    ...(timeout !== undefined && { timeoutSeconds: Number(timeout) }),
    ...(expiresIn !== undefined && { expiresAt: at() }),
  };
}

const ASK_EVERY_MS = 2_000;

/** Says why no job can run here, once for each reason. The function asks now and then, however often it is called. */
export function tellTrouble(here: Here): () => Promise<void> {
  let [told, next] = ["", 0];
  return async () => {
    if (performance.now() < next) return;
    const state = await stateOf(here);
    next = performance.now() + ASK_EVERY_MS;
    const why = state === null || state === "silent" ? undefined : whyItWaits(state);
    if (why === undefined || why === told) return;
    told = why;
    warn(`the job waits, because ${why}`);
  };
}

export function whyItWaits({ engine, paused }: Pick<ServiceState, "engine" | "paused">): string | undefined {
  const { error } = engine;
  if (error) return `the engine is not ready: ${error.code}: ${error.message} ${error.hint}`;
  return paused && `the worker is ${pauseWords(paused)}`;
}

function print(flags: Flags, facts: object, text: string): number {
  process.stdout.write(`${flags.json === true ? JSON.stringify(facts) : text}\n`);
  return EXIT.ok;
}

function printResult(flags: Flags, result: Outcome): number {
  const shown =
    flags.json === true
      ? printableJson(result)
      : printableJson(result.output ?? result.outputRef ?? result.error, 2);
  process.stdout.write(`${shown}\n`);
  return result.status === "succeeded" ? EXIT.ok : EXIT.failed;
}

/**
 * What became of the deliveries that the job asks for, once each has had its first try. Undefined unless one was refused: a delivery that
 * failed is tried again, and that is only said.
 */
async function printDeliveries(
  deliver: readonly Destination[],
  result: Outcome,
  bucket: Bucket,
  end: number,
): Promise<number | undefined> {
  const wanted = new Set(deliver.map(destinationKey));
  if (wanted.size === 0) return undefined;
  const deliveryLog = createDeliveryLog({ bucket, log: silentLog });
  const tried = new Map<string, Attempt>();
  for (;;) {
    const tries = (await deliveryLog.all(result.id)).filter((one) => one.result === eventOf(result));
    for (const one of tries) if (wanted.has(one.key)) tried.set(one.key, one);
    if (tried.size === wanted.size || performance.now() > end) break;
    await sleep(WAIT_EVERY_MS);
  }
  const open = wanted.size - tried.size;
  if (open > 0)
    warn(`${open} of ${wanted.size} deliveries had no try yet; \`kamado dead show ${result.id}\` shows them`);
  for (const one of tried.values()) if (one.outcome !== "delivered") warn(toldOf(one));
  return [...tried.values()].some(({ outcome }) => outcome === "refused") ? EXIT.undelivered : undefined;
}

const warn = (text: string) =>
  void process.stderr.write(
    `${prose(`${paint("red", "kamado", process.stderr)}: ${printable(text)}`, process.stderr)}\n`,
  );

function toldOf({ to, outcome, status, error, nextAt }: Attempt): string {
  const why = [error, status && `HTTP ${status}`].filter(Boolean).join(", ");
  if (outcome === "refused")
    return `the result was not delivered to ${to} (${why}); the delivery is in the dead-letter queue: \`kamado dead\``;
  return `the delivery to ${to} failed (${why}) and is tried again${nextAt ? ` at ${localTime(nextAt)}` : ""}`;
}

/** A job that runs, waits or failed once has no result; only the worker that has it knows which. */
export function whyNoResult(
  id: string,
  state: { jobs: ServiceState["jobs"]; current: ServiceState["current"] } | null,
): string {
  if (state === null) return "it waits in the queue or runs";
  if (state.current.some((job) => job.id === id)) return "it still runs";
  const failed = state.jobs.find((job) => job.id === id && job.outcome === "retry")?.error;
  return failed === undefined
    ? "it waits in the queue"
    : `its last attempt failed with ${failed}, and it is tried again`;
}

function giveUp(id: string, state: ServiceState | "silent" | null): number {
  const is = whyNoResult(id, state === "silent" ? null : state);
  process.stderr.write(
    `kamado: no result yet of ${printable(id)}: ${is}; \`kamado jobs ${printable(id)}\` shows it\n`,
  );
  return EXIT.unavailable;
}
