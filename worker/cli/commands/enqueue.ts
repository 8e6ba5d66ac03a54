// `kamado enqueue KIND`: puts a job on the queue; with --wait, waits for its result and prints it.
import { createHash, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { Command } from "commander";
import { makeAwsClients } from "../../aws/clients.ts";
import { describeIssues, KamadoError } from "../../errors.ts";
import { Job } from "../../job/envelope.ts";
import { isResultOf } from "../../job/job-hash.ts";
import type { Result } from "../../job/result.ts";
import { EXIT, paint } from "../../logging/terminal.ts";
import { printableJson } from "../../printable.ts";
import { sqsQueue } from "../../queue/sqs.ts";
import { addressOf, type Bucket } from "../../storage/bucket.ts";
import { createResults } from "../../storage/results.ts";
import { s3Bucket } from "../../storage/s3.ts";
import { cloudOrLocal } from "../cloud.ts";
import { configOf } from "../configuration.ts";
import { type Flags, flagsOf } from "../flags.ts";
import { readInput, replaceFiles } from "../read-input.ts";

/** Bytes. A longer body goes into the bucket and a pointer to it into the queue. SQS takes 1 MiB with the attributes. */
const BODY_LIMIT = 900 * 1024;
const WAIT_EVERY_MS = 250;

export function enqueueCommand(): Command {
  return new Command("enqueue")
    .argument("<kind>", "the kind of job: todo.match, image.check, …")
    .description("put a job on the queue (KAMADO_QUEUE_URL, else that of a `kamado serve` on this machine)")
    .requiredOption(
      "--input <file>",
      'the input: a JSON file, or - for standard input; "file:door.png" inside is uploaded',
    )
    .option("--id <id>", "the job's id; sending the same id twice runs the job once")
    .option("--deliver <where...>", "sns=ARN, callback=URL, rest=URL or sqs=URL; can be repeated")
    .option("--priority <n>", "0 to 9, higher first")
    .option("--timeout <seconds>", "the longest run")
    .option("--expires-in <seconds>", "how long it may wait to be started")
    .option(
      "--group <name>",
      "in a FIFO queue, the group whose jobs run in order; by default each job has its own",
    )
    .option("--wait [seconds]", "wait for the result, 300 seconds by default, and print it")
    .option("--json", "print one JSON line")
    .action(async (kind: string, _, command: Command) => {
      const flags = flagsOf(command);
      process.exitCode = await enqueue(kind, flags);
    });
}

async function enqueue(kind: string, flags: Flags): Promise<number> {
  const config = configOf();
  const cloud = cloudOrLocal(config);
  const clients = makeAwsClients(cloud.aws);
  try {
    const bucket = s3Bucket(clients.s3, config.bucket);
    const job = await readJob(kind, flags, bucket);
    const body = await bodyOf(job, bucket);
    const group = typeof flags.group === "string" ? flags.group : job.id;
    const queue = sqsQueue(clients.sqs, cloud.queueUrl);
    const messageId = await queue.send(body, { group, deduplicationId: job.id });
    if (flags.wait === undefined) return print(flags, { id: job.id, messageId }, `queued ${job.id}`);
    if (flags.json !== true)
      process.stderr.write(`${paint("dim", `queued ${job.id}, waiting …`, process.stderr)}\n`);
    const result = await waitFor(job, createResults(bucket), Number(flags.wait === true ? 300 : flags.wait));
    return result ? printResult(flags, result) : giveUp(job.id);
  } finally {
    clients.destroy();
  }
}

async function readJob(kind: string, flags: Flags, bucket: Bucket): Promise<Job> {
  const id = typeof flags.id === "string" ? flags.id : randomUUID();
  const { value, folder } = await readInput(String(flags.input));
  const input = await replaceFiles(value, folder, async ({ name, bytes }) => {
    // The address has the content's hash, so that another file under the same id and name is another input.
    const key = `in/${id}/${hashOf(bytes)}/${name}`;
    await bucket.put(key, bytes, { contentType: "application/octet-stream" });
    return addressOf(bucket, key);
  });
  const fields = { id, kind, input, deliver: destinations(flags.deliver), policy: policy(flags) };
  const parsed = Job.safeParse(fields);
  if (!parsed.success) throw new KamadoError("invalid_envelope", describeIssues(parsed.error, fields));
  return parsed.data;
}

function destinations(given: Flags[string]): unknown[] {
  const all = Array.isArray(given) ? given : [];
  return all.map((one) => {
    const [, name, address] = /^([a-z]+)=(.+)$/.exec(one) ?? [];
    if (!name)
      throw new KamadoError(
        "invalid_envelope",
        "--deliver: give it as sns=ARN, callback=URL, rest=URL or sqs=URL.",
      );
    return { [name]: address };
  });
}

function policy({ priority, timeout, expiresIn }: Flags): object {
  return {
    ...(priority !== undefined && { priority: Number(priority) }),
    ...(timeout !== undefined && { timeoutSeconds: Number(timeout) }),
    ...(expiresIn !== undefined && {
      expiresAt: new Date(Date.now() + Number(expiresIn) * 1_000).toISOString(),
    }),
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
  seconds: number,
): Promise<Result | null> {
  const end = performance.now() + seconds * 1_000;
  for (;;) {
    const result = await results.find(job.id);
    if (result && !isResultOf(job, result))
      throw new KamadoError("duplicate_id", `--id: "${job.id}" belongs to a job with another input.`);
    if (result || performance.now() > end) return result;
    await sleep(WAIT_EVERY_MS);
  }
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

function giveUp(id: string): number {
  process.stderr.write(
    `kamado: no result yet; the job ${id} stays in the queue and its result will be stored at results/${id}.json\n`,
  );
  return EXIT.unavailable;
}
