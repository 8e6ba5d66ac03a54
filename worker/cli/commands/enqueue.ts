// `kamado enqueue KIND`: puts a job on the queue; with --wait, waits for its result and its deliveries and prints them.
import { createHash, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import { makeAwsClients } from "../../aws/clients.ts";
import { destinationKey } from "../../deliver/deliver.ts";
import { describeIssues, KamadoError } from "../../errors.ts";
import { Destination, Job } from "../../job/envelope.ts";
import { isResultOf } from "../../job/job-hash.ts";
import { eventOf, type Result } from "../../job/result.ts";
import { silentLog } from "../../logging/log.ts";
import { EXIT, localTime, paint } from "../../logging/terminal.ts";
import { type Attempt, createDeliveryLog } from "../../outbox/delivery-log.ts";
import { printable, printableJson } from "../../printable.ts";
import { sqsQueue } from "../../queue/sqs.ts";
import { addressOf, type Bucket } from "../../storage/bucket.ts";
import { createResults } from "../../storage/results.ts";
import { s3Bucket } from "../../storage/s3.ts";
import { type Here, queuesHere } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { examples } from "../examples.ts";
import { type Flags, flagsOf, numberFrom } from "../flags.ts";
import { inputHelp, readInput, replaceFiles } from "../read-input.ts";
import { engineErrorOf, type ServiceState, stateOf } from "../running-service.ts";

/** Bytes. A longer body goes into the bucket and a pointer to it into the queue. SQS takes 1 MiB with the attributes. */
const BODY_LIMIT = 900 * 1024;
const WAIT_EVERY_MS = 250;
/** Seconds, as in the policy of a job. */
const MAX_TIMEOUT = 39_600;
/** Seconds. No queue keeps a message longer. */
const MAX_WAIT = 14 * 24 * 3_600;

const EXAMPLES = [
  `enqueue prompt --input '{"prompt": "Say hello"}' --wait`,
  "enqueue image.check --input check.json --wait",
  "enqueue article.extract --input - --deliver rest=https://example.org/a",
];
const EXIT_CODES = `
Exit codes: 0 done, 1 the job failed, 2 wrong usage, 3 something it needs is not available or there is no result yet, 4 the job is
done but a destination refused its result.`;

export function enqueueCommand(): Command {
  return examples(new Command("enqueue"), EXAMPLES)
    .addHelpText("after", EXIT_CODES)
    .argument("<kind>", "the kind of job: todo.match, image.check, …")
    .description("put a job on the queue (KAMADO_QUEUE_URL, else that of the Kamado that runs here)")
    .requiredOption("--input <json>", inputHelp("is uploaded"))
    .option("--id <id>", "the job's id; sending the same id twice runs the job once")
    .option("--deliver <where...>", "sns=ARN, callback=URL, rest=URL or sqs=URL; can be repeated")
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
    const bucket = s3Bucket(clients.s3, config.bucket);
    const job = await readJob(kind, flags, given, bucket);
    const body = await bodyOf(job, bucket);
    const group = typeof flags.group === "string" ? flags.group : job.id;
    const queue = sqsQueue(clients.sqs, cloud.queueUrl);
    const messageId = await queue.send(body, { group, deduplicationId: job.id });
    if (flags.wait === undefined) return print(flags, { id: job.id, messageId }, `queued ${job.id}`);
    if (flags.json !== true)
      process.stderr.write(`${paint("dim", `queued ${job.id}, waiting …`, process.stderr)}\n`);
    const end = performance.now() + Number(flags.wait === true ? 300 : flags.wait) * 1_000;
    const result = await waitFor(job, createResults(bucket), end, tellTrouble(here));
    if (!result) return giveUp(job.id, await stateOf(here));
    const code = printResult(flags, result);
    return (await printDeliveries(job, result, bucket, end)) ?? code;
  } finally {
    clients.destroy();
  }
}

type Given = { value: unknown; folder: string; deliver: Destination[] };

async function readJob(kind: string, flags: Flags, given: Given, bucket: Bucket): Promise<Job> {
  const id = typeof flags.id === "string" ? flags.id : randomUUID();
  const { value, folder, deliver } = given;
  const input = await replaceFiles(value, folder, async ({ name, bytes }) => {
    // The address has the content's hash, so that another file under the same id and name is another input.
    const key = `in/${id}/${hashOf(bytes)}/${name}`;
    await bucket.put(key, bytes, { contentType: "application/octet-stream" });
    return addressOf(bucket, key);
  });
  const fields = { id, kind, input, deliver, policy: policy(flags) };
  const parsed = Job.safeParse(fields);
  if (!parsed.success) throw new KamadoError("invalid_input", describeIssues(parsed.error, fields));
  return parsed.data;
}

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

function policy({ priority, timeout, expiresIn }: Flags): object {
  const at = () => new Date(Date.now() + Number(expiresIn) * 1_000).toISOString();
  return {
    ...(priority !== undefined && { priority }),
    ...(timeout !== undefined && { timeoutSeconds: timeout }),
    ...(expiresIn !== undefined && { expiresAt: at() }),
  };
}

const hashOf = (content: string | Uint8Array) =>
  createHash("sha256").update(content).digest("hex").slice(0, 16);

async function bodyOf(job: Job, bucket: Bucket): Promise<string> {
  const body = JSON.stringify(job);
  if (Buffer.byteLength(body) <= BODY_LIMIT) return body;
  const key = `in/${job.id}/${hashOf(body)}/job.json`;
  await bucket.put(key, body, { contentType: "application/json" });
  return JSON.stringify([
    "software.amazon.payloadoffloading.PayloadS3Pointer",
    { s3BucketName: bucket.name, s3Key: key },
  ]);
}

/** Throws `duplicate_id` when the id belongs to another job: the worker refuses this one. */
async function waitFor(
  job: Job,
  results: ReturnType<typeof createResults>,
  end: number,
  onRound: () => Promise<void>,
): Promise<Result | null> {
  for (;;) {
    const result = await results.find(job.id);
    if (result && !isResultOf(job, result))
      throw new KamadoError(
        "duplicate_id",
        `--id: "${job.id}" belongs to another job, of another kind or input.`,
      );
    if (result || performance.now() > end) return result;
    await onRound();
    await sleep(WAIT_EVERY_MS);
  }
}

const ASK_EVERY_MS = 2_000;

/** Says why no job can run here, once for each reason. The function asks now and then, however often it is called. */
function tellTrouble(here: Here): () => Promise<void> {
  let [told, next] = ["", 0];
  return async () => {
    if (performance.now() < next) return;
    const error = await engineErrorOf(here);
    next = performance.now() + ASK_EVERY_MS;
    if (!error || error.message === told) return;
    told = error.message;
    warn(`the job waits, because the engine is not ready: ${error.code}: ${error.message} ${error.hint}`);
  };
}

function print(flags: Flags, facts: object, text: string): number {
  process.stdout.write(`${flags.json === true ? JSON.stringify(facts) : text}\n`);
  return EXIT.ok;
}

function printResult(flags: Flags, result: Result): number {
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
  job: Job,
  result: Result,
  bucket: Bucket,
  end: number,
): Promise<number | undefined> {
  const wanted = new Set(job.deliver.map(destinationKey));
  if (wanted.size === 0) return undefined;
  const deliveryLog = createDeliveryLog({ bucket, log: silentLog });
  const tried = new Map<string, Attempt>();
  for (;;) {
    const tries = (await deliveryLog.all(job.id)).filter((one) => one.result === eventOf(result));
    for (const one of tries) if (wanted.has(one.key)) tried.set(one.key, one);
    if (tried.size === wanted.size || performance.now() > end) break;
    await sleep(WAIT_EVERY_MS);
  }
  const open = wanted.size - tried.size;
  if (open > 0)
    warn(`${open} of ${wanted.size} deliveries had no try yet; \`kamado dead show ${job.id}\` shows them`);
  for (const one of tried.values()) if (one.outcome !== "delivered") warn(toldOf(one));
  return [...tried.values()].some(({ outcome }) => outcome === "refused") ? EXIT.undelivered : undefined;
}

const warn = (text: string) =>
  void process.stderr.write(`${paint("red", "kamado", process.stderr)}: ${printable(text)}\n`);

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
