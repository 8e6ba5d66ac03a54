// Carries out a plan: sends the jobs, injects the faults and cuts the network at their times, until every queue is empty or
// nothing happens any more.
import { setTimeout as sleep } from "node:timers/promises";
import type { Aws } from "./aws.ts";
import type { FaultProxy } from "./fault-proxy.ts";
import { type Places, type PlannedJob, writeJob } from "./jobs.ts";
import type { EngineRecord } from "./observe.ts";
import type { Plan } from "./plan.ts";
import type { Receivers } from "./receivers.ts";
import type { Screen } from "./report.ts";
import { sendSignal, type Workers } from "./workers.ts";

export type Storm = {
  plan: Plan;
  places: Places;
  aws: Aws;
  proxy: FaultProxy;
  receivers: Receivers;
  workers: Workers;
  engineRecord: EngineRecord;
  screen: Screen;
  /** Fires on Ctrl-C. */
  stopped: AbortSignal;
};

const LOOK_MS = 250;
/** The faults are spread over this share of the jobs. */
const FAULTS_OVER = 0.9;
/** A fault waits for its share of the jobs no longer than this while nothing changes. */
const LONGEST_WAIT_MS = 8_000;
/** Longer than any retry waits. */
const STUCK_MS = 90_000;
/** Without progress the storm ends after this many times its planned time, even if workers still do something. */
const MOST_TIMES_PLANNED = 4;
/** A job that leaves its queue adds at most two deliveries to theirs. */
const JOB_WEIGHT = 3;

type Progress = {
  sent: number;
  faults: number;
  /** Jobs that have left the queue. */
  done: number;
  changedAt: number;
};

/** Resolves with null when the queues are empty, and with a message when nothing happened for too long. */
export async function executePlan(storm: Storm): Promise<string | null> {
  const over = new AbortController();
  const signal = AbortSignal.any([over.signal, storm.stopped]);
  const progress: Progress = { sent: 0, faults: 0, done: 0, changedAt: performance.now() };
  let isExecuted = false;
  const executed = Promise.all([
    sendJobs(storm, signal, progress),
    injectFaults(storm, signal, progress),
    cutNetwork(storm, signal),
  ]).then(() => {
    isExecuted = true;
  });
  // Only its failure counts here: the queues are not empty yet when the last step is executed.
  const failed = executed.then(() => new Promise<never>(() => {}));
  try {
    return await Promise.race([failed, watch(storm, progress, () => isExecuted)]);
  } finally {
    over.abort();
    storm.proxy.block(null);
  }
}

async function watch(storm: Storm, progress: Progress, isExecuted: () => boolean): Promise<string | null> {
  const { aws, receivers, engineRecord, workers, screen, plan, stopped } = storm;
  const { jobsQueueUrl, deliveriesQueueUrl } = aws.where.resources;
  const killed = new Set<string>();
  let last = "";
  let leastLeft = Infinity;
  let progressAt = performance.now();
  const longestMs = MOST_TIMES_PLANNED * plan.seconds * 1_000 + STUCK_MS;
  for (;;) {
    await sleep(LOOK_MS);
    stopped.throwIfAborted();
    killEngines(engineRecord, plan, killed);
    const jobs = await aws.count(jobsQueueUrl);
    const deliveries = await aws.count(deliveriesQueueUrl);
    progress.done = Math.max(0, progress.sent - jobs);
    const now = `sent ${progress.sent} of ${plan.list.length}, ${progress.faults} of ${plan.kills} faults, ${engineRecord.all.length} answers noted, ${receivers.requests.length} requests received, ${jobs} messages and ${deliveries} deliveries waiting`;
    screen.progress(now);
    if (now !== last) progress.changedAt = performance.now();
    last = now;
    const left = JOB_WEIGHT * (plan.list.length - progress.done) + deliveries;
    if (left < leastLeft) [leastLeft, progressAt] = [left, performance.now()];
    if (isExecuted() && jobs + deliveries === 0) return null;
    if (workers.failedStartLog !== undefined)
      return `the workers do not start, see ${workers.failedStartLog}: ${now}`;
    if (performance.now() - progress.changedAt > STUCK_MS)
      return `nothing has changed for ${STUCK_MS / 1_000} s: ${now}`;
    if (performance.now() - progressAt > longestMs)
      return `no job or delivery has left a queue for ${longestMs / 1_000} s: ${now}`;
  }
}

/** Kills each engine that has just begun to answer an `engine-killed` job for the first time. */
function killEngines(engineRecord: EngineRecord, { list }: Plan, killed: Set<string>): void {
  for (const { job, pid, what } of engineRecord.readNew()) {
    if (job === null || what !== "begun" || killed.has(job)) continue;
    if (list[Number(job.slice(-5))]?.shape !== "engine-killed") continue;
    killed.add(job);
    sendSignal(pid, "SIGKILL");
  }
}

async function sendJobs({ plan, places, aws }: Storm, over: AbortSignal, progress: Progress): Promise<void> {
  const sent = new Map<string, string>();
  const messages = plan.list.flatMap((job) => job.at.map((at) => ({ at, job }))).sort((a, b) => a.at - b.at);
  const began = performance.now();
  const send = async (job: PlannedJob) => {
    const written = writeJob(job, places, Date.now());
    for (const { key, body } of written.objects) await aws.put(key, body);
    // A job's second message is an exact copy of its first.
    const body = sent.get(job.id) ?? written.body;
    sent.set(job.id, body);
    await aws.send(body);
  };
  for (const { at, job } of messages) {
    if (!(await until(began + at, over))) return;
    await send(job);
    progress.sent = sent.size;
  }
}

/** Each fault waits for its time and for its share of the jobs: a fault after the last job would show nothing. */
async function injectFaults({ plan, workers }: Storm, over: AbortSignal, progress: Progress): Promise<void> {
  const began = performance.now();
  const faults: Promise<void>[] = [];
  for (const fault of plan.processFaults) {
    if (!(await until(began + fault.at, over))) break;
    const share = (FAULTS_OVER * plan.jobs * fault.at) / (plan.seconds * 1_000);
    while (!over.aborted && progress.done < share && performance.now() - progress.changedAt < LONGEST_WAIT_MS)
      await until(performance.now() + LOOK_MS, over);
    faults.push(workers.inject(fault, over).then(() => void progress.faults++));
  }
  await Promise.all(faults);
}

async function cutNetwork({ plan, proxy }: Storm, over: AbortSignal): Promise<void> {
  const began = performance.now();
  for (const { at, forMs, how } of plan.outages) {
    if (!(await until(began + at, over))) return;
    proxy.block(how);
    await until(performance.now() + forMs, over);
    proxy.block(null);
  }
}

/** Returns false when `over` has fired. */
async function until(moment: number, over: AbortSignal): Promise<boolean> {
  const ms = moment - performance.now();
  if (ms > 0) await sleep(ms, undefined, { signal: over }).catch(() => {});
  return !over.aborted;
}
