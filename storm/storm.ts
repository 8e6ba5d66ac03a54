// npm run storm: tries to make Kamado lose a job or do it twice. This file prepares everything, runs the plan, prints the verdict
// and cleans up. plan.ts says what happens, verdict.ts what is right, docs/storm.md how to read the output.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { toKamadoError } from "../worker/errors.ts";
import { type Arguments, parseArguments, USAGE } from "./arguments.ts";
import { type Aws, startAws } from "./aws.ts";
import { executePlan, type Storm } from "./execute-plan.ts";
import { startFaultProxy } from "./fault-proxy.ts";
import { addressOf, type Places } from "./jobs.ts";
import { EngineRecord, observe } from "./observe.ts";
import { type Plan, planOf, RECEIVERS, receiverFaultOf, requestFaultOf } from "./plan.ts";
import { startReceivers } from "./receivers.ts";
import { describeFindings, type Screen, screenOn } from "./report.ts";
import { judge, summaryOf, type Verdict } from "./verdict.ts";
import { startWatchdog } from "./watchdog.ts";
import { environmentOf } from "./worker-environment.ts";
import { Workers } from "./workers.ts";

const PICTURE = "in/picture.png";

/** Runs one storm. Resolves with the exit code. */
export async function storm(args: readonly string[]): Promise<number> {
  const screen = screenOn(process.stdout);
  const stopped = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => stopped.abort(new Error(`ended by ${signal}`)));
  try {
    const options = parseArguments(args, () => Math.floor(Math.random() * 1e6));
    if (options) return (await runStorm(options, screen, stopped.signal)) ? 0 : 1;
    screen.print(USAGE);
    return 0;
  } catch (thrown) {
    if (stopped.signal.aborted) return 130;
    const error = toKamadoError(thrown, "handler_failed");
    process.stderr.write(`storm: ${error.message}\n${error === thrown ? "" : (thrown as Error).stack}\n`);
    return error.code === "config_invalid" ? 2 : 1;
  }
}

async function runStorm(options: Arguments, screen: Screen, stopped: AbortSignal): Promise<boolean> {
  const plan = planOf(options);
  const folder = mkdtempSync(join(tmpdir(), "kamado-storm-"));
  screen.print(
    `seed ${plan.seed}, plan ${plan.hash}: ${plan.jobs} jobs, ${plan.kills} faults in ${plan.workers} workers; logs in ${folder}`,
  );
  let good = false;
  try {
    await using stack = new AsyncDisposableStack();
    const prepared = await prepare(plan, { folder, screen, stopped }, stack);
    const began = performance.now();
    const stuck = await executePlan(prepared);
    const seconds = ((performance.now() - began) / 1_000).toFixed(0);
    await prepared.workers.stop("SIGTERM");
    const verdict = await reachVerdict(prepared);
    screen.print(
      `${seconds} s, ${prepared.workers.starts} starts, requests through the proxy: ${JSON.stringify(prepared.proxy.counts)}`,
    );
    good = printVerdict(verdict, stuck, prepared, folder);
    return good;
  } finally {
    if (good && !options.keep) rmSync(folder, { recursive: true, force: true });
  }
}

type Surroundings = { folder: string; screen: Screen; stopped: AbortSignal };

/** Starts everything. What it starts is stopped by `stack`, last first. */
async function prepare(
  plan: Plan,
  { folder, screen, stopped }: Surroundings,
  stack: AsyncDisposableStack,
): Promise<Storm> {
  const watchdog = startWatchdog();
  stack.defer(() => watchdog.stop());
  const aws = await startAws(watchdog, stopped);
  stack.defer(() => aws.stop());
  const proxy = await startFaultProxy(aws.where.endpoint, (nth) => requestFaultOf(plan.seed, nth));
  stack.defer(() => proxy.stop());
  const receivers = await startReceivers(RECEIVERS, (nth) => receiverFaultOf(plan.seed, nth));
  stack.defer(() => receivers.stop());
  const places = await putPicture(aws, receivers.urls);
  const record = join(folder, "answers.jsonl");
  const environment = environmentOf({ folder, record, proxyUrl: proxy.url, places, where: aws.where });
  const workers = new Workers({ count: plan.workers, folder, watchdog, environmentOf: environment });
  stack.defer(() => workers.stop("SIGKILL"));
  writeFileSync(join(folder, "plan.json"), JSON.stringify(plan, null, 1));
  const engineRecord = new EngineRecord(record);
  return { plan, places, aws, proxy, receivers, workers, engineRecord, screen, stopped };
}

async function putPicture(aws: Aws, receivers: readonly string[]): Promise<Places> {
  const create = { width: 24, height: 24, channels: 3, background: "#c33" } as const;
  await aws.put(PICTURE, await sharp({ create }).png().toBuffer());
  const { bucket } = aws.where.resources;
  return { bucket, resultQueueUrl: aws.resultQueueUrl, receivers, pictureKey: PICTURE };
}

async function reachVerdict(storm: Storm): Promise<Verdict> {
  const { plan, places } = storm;
  const ids = plan.list.map(({ id }) => id);
  const observed = await observe(ids, storm);
  return judge({ ...plan, addressOf: (target, job) => addressOf(target, job, places) }, observed);
}

/** The summary is the last line. Returns whether everything is as it must be. */
function printVerdict(verdict: Verdict, stuck: string | null, storm: Storm, folder: string): boolean {
  const { plan, receivers, engineRecord, screen } = storm;
  const { findings, inferencesPerJob, allowedPerJob } = verdict;
  const sources = { folder, list: plan.list, requests: receivers.requests, answers: engineRecord.all };
  if (findings.length > 0) screen.print(describeFindings(findings, sources));
  if (stuck !== null) screen.print(stuck);
  if (inferencesPerJob > allowedPerJob)
    screen.print(
      `${inferencesPerJob.toFixed(4)} inferences per job; at most ${allowedPerJob.toFixed(4)} are allowed`,
    );
  const isGood = verdict.good && stuck === null;
  if (!isGood) screen.print(`logs are kept in ${folder}`);
  screen.print(summaryOf(verdict));
  return isGood;
}

if (import.meta.main) process.exitCode = await storm(process.argv.slice(2));
