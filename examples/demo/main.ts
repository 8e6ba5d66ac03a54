// `npm run demo`: everything in one process tree on free ports, with a real queue, a real model and real HTTP. Nothing is kept.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type AwsClients, type AwsConfig, makeAwsClients } from "../../worker/aws/clients.ts";
import type { Cloud } from "../../worker/aws/resources.ts";
import { localCloud } from "../../worker/cli/cloud.ts";
import { engineOptions } from "../../worker/cli/engine-options.ts";
import { loadConfig, type Variables } from "../../worker/config/config.ts";
import { openEngine } from "../../worker/engine/supervisor/open-engine.ts";
import type { Destination } from "../../worker/job/envelope.ts";
import type { Report } from "../../worker/job/research/report.ts";
import { startLocalAws } from "../../worker/local/local-aws.ts";
import { createLog } from "../../worker/logging/log.ts";
import { paint } from "../../worker/logging/terminal.ts";
import { openWorker } from "../../worker/main.ts";
import { sqsQueue } from "../../worker/queue/sqs.ts";
import { createResults } from "../../worker/storage/results.ts";
import { s3Bucket } from "../../worker/storage/s3.ts";
import { startTodoService } from "../todo-service/service.ts";
import { Progress } from "./progress.ts";
import { type Inbox, startWebhookReceiver, subscribe } from "./receivers.ts";
import { isPerfect, lastLine, type Row, researchLines, resultTable, tallyOf } from "./report.ts";
import { type DemoJob, GONE, scenario, TODOS } from "./scenario.ts";
import { startSearchStub } from "./search-stub.ts";

/** How long all jobs together may take. */
const DEADLINE_MS = 150_000;
/** The pages that its search finds. */
const PAGES = fileURLToPath(new URL("pages", import.meta.url));
/** The subscribers poll, so a result that was just published may not have arrived yet. */
const ARRIVAL_MS = 5_000;
const SECRET = `whsec_${Buffer.from("the demo's own signing key").toString("base64")}`;

type Todo = { title: string; notes: { text: string }[] };

/** The AWS of a demo: as whom its worker works, as whom jobs are sent and results read, and as whom subscribers are made. */
export type DemoAws = {
  worker: Cloud;
  sender: AwsConfig;
  owner: AwsConfig;
  bucket: string;
  topicArn: string;
};

/** Runs the demo, on an embedded AWS if no other is given. Resolves with whether every job was right, delivered and none lost. */
export async function demo(flags: Variables, options: { json: boolean; aws?: DemoAws }): Promise<boolean> {
  await using parts = await open(flags, options.json, options.aws);
  const { config, aws, clients, engine, worker, todo, webhook, everything, doorsOpen } = parts;
  const places = {
    todosUrl: `${todo.url}/todos`,
    webhookUrl: webhook.url,
    topicArn: aws.topicArn,
    bucket: config.bucket,
  };
  const { jobs, uploads } = await scenario(places);
  const bucket = s3Bucket(clients.s3, config.bucket);
  for (const title of TODOS) await post(places.todosUrl, { title });
  for (const { key, bytes } of uploads) await bucket.put(key, bytes, { contentType: "image/png" });

  const out = options.json ? process.stderr : process.stdout;
  const say = (text: string) => out.write(`${text}\n`);
  say(intro(config.engine.isDemo, jobs.length, uploads.length));
  const progress = new Progress(jobs, worker.jobEvents, out);
  await engine.ready();
  worker.start();
  const queue = sqsQueue(clients.sqs, aws.worker.queueUrl);
  for (const { id, kind, input, deliver } of jobs) {
    await queue.send(JSON.stringify({ id, kind, input, deliver }));
    progress.sent(id);
  }
  await Promise.race([progress.allEnded, sleep(DEADLINE_MS, undefined, { ref: false })]);
  progress.stop();

  const results = createResults(bucket);
  const arrived = async (job: DemoJob) => {
    const todos = (await (await fetch(places.todosUrl)).json()) as Todo[];
    return job.deliver.every((destination) =>
      isThere(job, destination, { webhook: webhook.inbox, topic: everything.inbox, todos }),
    );
  };
  await until(async () => (await Promise.all(jobs.map(arrived))).every(Boolean), ARRIVAL_MS);
  const rows: Row[] = await Promise.all(
    jobs.map(async (job) => ({
      job,
      result: await results.find(job.id),
      trace: progress.traces.get(job.id),
      arrived: await arrived(job),
    })),
  );
  const tally = tallyOf(rows);
  say(`\n${resultTable(rows)}\n`);
  say(
    arrivals(
      webhook.inbox,
      everything.inbox,
      doorsOpen.inbox,
      (await (await fetch(places.todosUrl)).json()) as Todo[],
      reportIn(rows),
    ),
  );
  if (options.json)
    process.stdout.write(`${JSON.stringify({ ...tally, results: rows.map(({ result }) => result) })}\n`);
  else
    process.stdout.write(
      `${paint(isPerfect(tally) ? ["bold", "green"] : ["bold", "red"], lastLine(tally))}\n`,
    );
  return isPerfect(tally);
}

/** Starts everything; disposing stops it in the reverse order. */
async function open(flags: Variables, quiet: boolean, given: DemoAws | undefined) {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), "kamado-demo-"));
  stack.defer(() => rm(folder, { recursive: true, force: true }));
  const aws = given ?? (await embedded(stack));
  const todo = await startTodoService({ port: 0 });
  stack.defer(() => todo.stop());
  const search = await startSearchStub({
    folder: PAGES,
    instead: (_, { page }) => (page === GONE ? new Response("Gone", { status: 410 }) : undefined),
  });
  stack.defer(() => search.close());
  const webhook = await startWebhookReceiver(SECRET);
  stack.defer(() => webhook.stop());
  const clients = makeAwsClients(aws.sender);
  stack.defer(() => clients.destroy());
  const owner = makeAwsClients(aws.owner);
  stack.defer(() => owner.destroy());
  const { everything, doorsOpen } = await subscribers(owner, aws.topicArn);
  stack.defer(async () => void (await Promise.all([everything.stop(), doorsOpen.stop()])));

  const destinations = [
    { match: `${todo.url}/`, allowPrivate: true },
    { match: webhook.url, allowPrivate: true, secret: SECRET },
    { match: `${search.url}/`, allowPrivate: true },
  ];
  const destinationsFile = join(folder, "destinations.json");
  await writeFile(destinationsFile, JSON.stringify(destinations));
  const config = loadConfig({
    KAMADO_ENGINE_PORT: "0",
    KAMADO_QUEUE_URL: aws.worker.queueUrl,
    KAMADO_BUCKET: aws.bucket,
    KAMADO_DESTINATIONS_FILE: destinationsFile,
    KAMADO_POLL_SECONDS: "1",
    KAMADO_SEARCH_URL: search.url,
    KAMADO_SEARCH_PER_MINUTE: "6000",
    KAMADO_WORKER_NAME: "demo",
    ...flags,
  });
  const log = createLog({
    level: flags.KAMADO_LOG_LEVEL ? config.logLevel : quiet ? "silent" : "error",
    pretty: true,
    destination: process.stderr,
  });
  const engine = await openEngine(engineOptions(config), log);
  stack.defer(() => engine.stop());
  const worker = await openWorker(config, { ...aws.worker, topicArn: undefined }, async () => engine, log);
  stack.defer(() => worker.stop());
  const opened = stack.move();
  const parts = { config, aws, clients, engine, worker, todo, webhook, everything, doorsOpen };
  return Object.assign(parts, { [Symbol.asyncDispose]: () => opened.disposeAsync() });
}

async function embedded(stack: AsyncDisposableStack): Promise<DemoAws> {
  const local = await startLocalAws({ port: 0 });
  stack.defer(() => local.stop());
  const { bucket, topicArn } = local.resources;
  return { worker: localCloud(local), sender: local, owner: local, bucket, topicArn };
}

/** One subscriber receives every result, the other only results with certain message attributes. */
async function subscribers(clients: AwsClients, topicArn: string) {
  const everything = await subscribe(clients, topicArn, "demo-everything");
  const doorsOpen = await subscribe(clients, topicArn, "demo-doors-open", {
    kind: ["image.check"],
    answer: ["n"],
  });
  return { everything, doorsOpen };
}

function isThere(
  job: DemoJob,
  destination: Destination,
  at: { webhook: Inbox; topic: Inbox; todos: Todo[] },
): boolean {
  if ("callback" in destination) return at.webhook.results.has(job.id);
  if ("sns" in destination) return at.topic.results.has(job.id);
  const { text } = job.input as { text: string };
  return at.todos.some(({ notes }) => notes.some((note) => note.text === text));
}

async function until(condition: () => Promise<boolean>, ms: number): Promise<void> {
  const end = performance.now() + ms;
  while (!(await condition()) && performance.now() < end) await sleep(100);
}

async function post(url: string, body: object): Promise<void> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
}

function intro(isDemoModel: boolean, jobs: number, pictures: number): string {
  const model = isDemoModel
    ? "The model is a toy of 1.7 M parameters, trained for this demo so that it runs\n  offline; it is no use for anything else. For real work, set KAMADO_MODEL and\n  KAMADO_MMPROJ to a GGUF model and its projector."
    : "The model is your own; the expected answers below are what the demo model gives.";
  return `\n${paint(["bold", "yellow"], "Kamado demo")}: ${pictures} pictures go into the bucket, ${jobs} jobs onto the queue.\n  ${paint("dim", model)}\n`;
}

function reportIn(rows: readonly Row[]): Report | null {
  const found = rows.find(({ job, result }) => job.kind === "knowledge.research" && result?.output);
  return (found?.result?.output as Report | undefined) ?? null;
}

function arrivals(
  webhook: Inbox,
  topic: Inbox,
  doorsOpen: Inbox,
  todos: readonly Todo[],
  report: Report | null,
): string {
  const changed = todos.filter(({ notes }) => notes.length > 0);
  const lines = [
    `webhook receiver  ${webhook.results.size} results, every signature verified${webhook.refused > 0 ? `, ${webhook.refused} refused` : ""}`,
    `topic subscriber  ${topic.results.size} results; ${doorsOpen.results.size} passed the filter answer = n: ${[...doorsOpen.results.keys()].join(", ")}`,
    `Todo service      ${changed.map(({ title, notes }) => `"${title}" ← ${notes.map(({ text }) => text).join("; ")}`).join("\n                  ")}`,
    ...(report ? [`research          ${researchLines(report).join("\n                  ")}`] : []),
  ];
  return `${lines.join("\n")}\n`;
}
