// npm run storm: never lose a job, never do one twice, shown by attack. This file sets the stage, lets the storm rage, counts,
// and leaves nothing behind. What it does is in plan.ts, what is right in count.ts; docs/storm.md says how to read it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { toKamadoError } from "../worker/errors.ts";
import { Answers } from "./answers.ts";
import { type Asked, askedOf, USAGE } from "./arguments.ts";
import { type Aws, startAws } from "./aws.ts";
import { judge, receiverOf, type Verdict } from "./count.ts";
import { startFaultProxy } from "./fault-proxy.ts";
import { startGuardian } from "./guardian.ts";
import { addressOf, type Places } from "./jobs.ts";
import { observe } from "./observe.ts";
import { actOf, faultOf, type Plan, planOf, RECEIVERS } from "./plan.ts";
import { rage, type Stage } from "./rage.ts";
import { startReceivers } from "./receivers.ts";
import { type Screen, screenOn, stories } from "./report.ts";
import { variablesOf } from "./variables.ts";
import { Crew } from "./workers.ts";

const PICTURE = "in/picture.png";

/** Runs one storm; resolves with the exit code. */
export async function storm(args: readonly string[]): Promise<number> {
  const screen = screenOn(process.stdout);
  const stopped = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => stopped.abort(new Error(`ended by ${signal}`)));
  try {
    const asked = askedOf(args, () => Math.floor(Math.random() * 1e6));
    if (asked) return (await runStorm(asked, screen, stopped.signal)) ? 0 : 1;
    screen.print(USAGE);
    return 0;
  } catch (thrown) {
    if (stopped.signal.aborted) return 130;
    const error = toKamadoError(thrown, "handler_failed");
    process.stderr.write(`storm: ${error.message}\n${error === thrown ? "" : (thrown as Error).stack}\n`);
    return error.code === "config_invalid" ? 2 : 1;
  }
}

async function runStorm(asked: Asked, screen: Screen, stopped: AbortSignal): Promise<boolean> {
  const plan = planOf(asked);
  const folder = mkdtempSync(join(tmpdir(), "kamado-storm-"));
  screen.print(
    `seed ${plan.seed}, plan ${plan.hash}: ${plan.jobs} jobs, ${plan.kills} blows at ${plan.workers} workers; logs in ${folder}`,
  );
  let clean = false;
  try {
    await using stack = new AsyncDisposableStack();
    const stage = await setStage(plan, { folder, screen, stopped }, stack);
    const began = performance.now();
    const stuck = await rage(stage);
    const seconds = ((performance.now() - began) / 1_000).toFixed(0);
    await stage.crew.stop("SIGTERM");
    const verdict = await count(stage);
    screen.print(
      `${seconds} s, ${stage.crew.starts} starts, requests through the proxy: ${JSON.stringify(stage.proxy.counts)}`,
    );
    clean = tell(verdict, stuck, stage, folder);
    return clean;
  } finally {
    if (clean && !asked.keep) rmSync(folder, { recursive: true, force: true });
  }
}

type Around = { folder: string; screen: Screen; stopped: AbortSignal };

async function setStage(plan: Plan, around: Around, stack: AsyncDisposableStack): Promise<Stage> {
  const { folder } = around;
  const guardian = startGuardian();
  stack.defer(() => guardian.stop());
  const aws = await startAws(guardian, around.stopped);
  stack.defer(() => aws.stop());
  const proxy = await startFaultProxy(aws.where.endpoint, (nth) => faultOf(plan.seed, nth));
  stack.defer(() => proxy.stop());
  const receivers = await startReceivers(RECEIVERS, (nth) => actOf(plan.seed, nth));
  stack.defer(() => receivers.stop());
  const places = await prepare(aws, receivers.urls);
  const record = join(folder, "answers.jsonl");
  const around_ = { folder, record, proxyUrl: proxy.url, places, where: aws.where };
  const crew = new Crew({ count: plan.workers, folder, guardian, variablesOf: variablesOf(around_) });
  stack.defer(() => crew.stop("SIGKILL"));
  writeFileSync(join(folder, "plan.json"), JSON.stringify(plan, null, 1));
  return { plan, places, aws, proxy, receivers, crew, answers: new Answers(record), ...around };
}

async function prepare(aws: Aws, receivers: readonly string[]): Promise<Places> {
  const create = { width: 24, height: 24, channels: 3, background: "#c33" } as const;
  await aws.put(PICTURE, await sharp({ create }).png().toBuffer());
  return {
    bucket: aws.where.resources.bucket,
    toldQueueUrl: aws.toldQueueUrl,
    receivers,
    pictureKey: PICTURE,
  };
}

async function count({ plan, places, aws, receivers, answers, crew }: Stage): Promise<Verdict> {
  const observed = await observe(
    plan.list.map(({ id }) => id),
    { aws, receivers, answers, crew },
  );
  return judge({ ...plan, addressOf: (target, job) => addressOf(target, job, places) }, observed);
}

/** The last line is the verdict. */
function tell(verdict: Verdict, stuck: string | null, stage: Stage, folder: string): boolean {
  const { plan, receivers, answers, screen } = stage;
  const sources = { folder, list: plan.list, heard: receivers.heard, answers: answers.all };
  if (verdict.findings.length > 0) screen.print(stories(verdict.findings, sources));
  if (stuck !== null) screen.print(stuck);
  if (verdict.inferencesPerJob > verdict.allowedPerJob)
    screen.print(
      `${verdict.inferencesPerJob.toFixed(4)} inferences per job, and ${verdict.allowedPerJob.toFixed(4)} are allowed`,
    );
  const isGood = verdict.good && stuck === null;
  if (!isGood) screen.print(`logs are kept in ${folder}`);
  screen.print(receiverOf(verdict));
  return isGood;
}

if (import.meta.main) process.exitCode = await storm(process.argv.slice(2));
