// The storm itself: sends the jobs, strikes, cuts the network, all when the plan has it, until everything has come to its
// end or nothing moves any more.
import { setTimeout as sleep } from "node:timers/promises";
import type { Answers } from "./answers.ts";
import type { Aws } from "./aws.ts";
import { sent as signalled } from "./engine-blows.ts";
import type { FaultProxy } from "./fault-proxy.ts";
import { type Places, writeJob } from "./jobs.ts";
import type { Plan, PlannedJob } from "./plan.ts";
import type { Receivers } from "./receivers.ts";
import type { Screen } from "./report.ts";
import type { Crew } from "./workers.ts";

export type Stage = {
  plan: Plan;
  places: Places;
  aws: Aws;
  proxy: FaultProxy;
  receivers: Receivers;
  crew: Crew;
  answers: Answers;
  screen: Screen;
  /** Fires on Ctrl-C. */
  stopped: AbortSignal;
};

const LOOK_MS = 250;
/** Blows fall over this share of the jobs; where nothing moves they do not wait for it. */
const BLOWS_OVER = 0.9;
const HESITATE_MS = 8_000;
/** After the last blow; a job that waits for its turn again waits less. */
const STILL_MS = 90_000;
/** Times the planned time: a machine that is busy with something else takes longer. */
const PATIENCE = 4;

type Done = { sent: number; blows: number; settled: number; movedAt: number };
type State = { sent: number; blows: number; begun: number; effects: number; waiting: number };

/** Resolves with null when the queues are empty, and with what is missing when nothing moved for too long. */
export async function rage(stage: Stage): Promise<string | null> {
  const over = new AbortController();
  const until = AbortSignal.any([over.signal, stage.stopped]);
  const done: Done = { sent: 0, blows: 0, settled: 0, movedAt: performance.now() };
  try {
    const acts = [sendAll(stage, until, done), strikeAll(stage, until, done), cutAll(stage, until)];
    let acting = true;
    const failed = Promise.all(acts).then(() => {
      acting = false;
    });
    return await Promise.race([
      failed.then(() => new Promise<never>(() => {})),
      watch(stage, done, () => acting),
    ]);
  } finally {
    over.abort();
    stage.proxy.block(null);
  }
}

async function watch(stage: Stage, done: Done, acting: () => boolean) {
  const { aws, receivers, answers, crew, screen, plan, stopped } = stage;
  const { jobsQueueUrl, deliveriesQueueUrl } = aws.where.resources;
  const struck = new Set<string>();
  let last = "";
  const began = performance.now();
  const longest = PATIENCE * plan.seconds * 1_000 + STILL_MS;
  for (;;) {
    await sleep(LOOK_MS);
    stopped.throwIfAborted();
    bringBadLuck(answers.look(), plan, struck);
    const jobs = await aws.count(jobsQueueUrl);
    const deliveries = await aws.count(deliveriesQueueUrl);
    done.settled = Math.max(0, done.sent - jobs);
    const state = {
      sent: done.sent,
      blows: done.blows,
      begun: answers.all.length,
      effects: receivers.heard.length,
      waiting: jobs + deliveries,
    };
    screen.progress(words(state, plan, { jobs, deliveries }));
    if (JSON.stringify(state) !== last) done.movedAt = performance.now();
    last = JSON.stringify(state);
    if (!acting() && state.waiting === 0) return null;
    const now = words(state, plan, { jobs, deliveries });
    if (crew.trouble !== undefined) return `the workers do not start, see ${crew.trouble}: ${now}`;
    if (performance.now() - done.movedAt > STILL_MS)
      return `nothing has moved for ${STILL_MS / 1_000} s: ${now}`;
    if (performance.now() - began > longest) return `it is not over after ${longest / 1_000} s: ${now}`;
  }
}

const words = (
  { sent, blows, begun, effects }: State,
  { list, kills }: Plan,
  left: { jobs: number; deliveries: number },
) =>
  `sent ${sent} of ${list.length}, ${blows} of ${kills} blows, ${begun} answers noted, ${effects} requests received, ${left.jobs} messages and ${left.deliveries} deliveries waiting`;

/** Kills the engine that has just begun to answer an unlucky job, the first time. */
function bringBadLuck(fresh: ReturnType<Answers["look"]>, { list }: Plan, struck: Set<string>): void {
  for (const { job, pid, what } of fresh) {
    if (job === null || what !== "begun" || struck.has(job)) continue;
    if (list[Number(job.slice(-5))]?.shape !== "unlucky") continue;
    struck.add(job);
    signalled(pid, "SIGKILL");
  }
}

async function sendAll({ plan, places, aws }: Stage, over: AbortSignal, done: Done) {
  const sent = new Map<string, string>();
  const messages = plan.list.flatMap((job) => job.at.map((at) => ({ at, job }))).sort((a, b) => a.at - b.at);
  const began = performance.now();
  const send = async (job: PlannedJob) => {
    const written = writeJob(job, places, Date.now());
    for (const { key, body } of written.objects) await aws.put(key, body);
    // A second message is the first one's very copy.
    const body = sent.get(job.id) ?? written.body;
    sent.set(job.id, body);
    await aws.send(body);
  };
  for (const { at, job } of messages) {
    if (!(await until(began + at, over))) return;
    await send(job);
    done.sent = sent.size;
  }
}

/** Each blow when it is due, and not before its share of the jobs is through: blows that nobody works under show nothing. */
async function strikeAll({ plan, crew }: Stage, over: AbortSignal, done: Done) {
  const began = performance.now();
  const strikes: Promise<void>[] = [];
  for (const blow of plan.blows) {
    if (!(await until(began + blow.at, over))) break;
    const share = (BLOWS_OVER * plan.jobs * blow.at) / (plan.seconds * 1_000);
    while (!over.aborted && done.settled < share && performance.now() - done.movedAt < HESITATE_MS)
      await until(performance.now() + LOOK_MS, over);
    strikes.push(crew.strike(blow, over).then(() => void done.blows++));
  }
  await Promise.all(strikes);
}

async function cutAll({ plan, proxy }: Stage, over: AbortSignal) {
  const began = performance.now();
  for (const { at, forMs, how } of plan.outages) {
    if (!(await until(began + at, over))) return;
    proxy.block(how);
    await until(performance.now() + forMs, over);
    proxy.block(null);
  }
}

/** False when it is over before. */
async function until(moment: number, over: AbortSignal): Promise<boolean> {
  const ms = moment - performance.now();
  if (ms > 0) await sleep(ms, undefined, { signal: over }).catch(() => {});
  return !over.aborted;
}
