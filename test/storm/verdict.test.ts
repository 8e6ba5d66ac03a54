// The verdict can fail: each promise is broken here once, and the verdict says which.
import { describe, expect, test } from "vitest";
import type { PlannedJob, ShapeName } from "../../storm/jobs.ts";
import type { Observed } from "../../storm/observe.ts";
import { planOf } from "../../storm/plan.ts";
import { allowedPerJob, judge, type Planned, summaryOf } from "../../storm/verdict.ts";
import type { Exit } from "../../storm/workers.ts";

const id = (index: number) => `storm-${String(index).padStart(5, "0")}`;
const job = (index: number, shape: ShapeName): PlannedJob => ({
  id: id(index),
  shape,
  at: [0],
  receiver: 0,
  expiresAfterMs: 0,
});
const PLANNED: Planned = {
  list: [
    job(0, "plain"),
    job(1, "both"),
    job(2, "malformed"),
    job(3, "invalid-input"),
    job(4, "gone"),
    job(5, "queue"),
    job(6, "poison"),
  ],
  kills: 0,
  addressOf: (target) => `http://receiver/${target}`,
};
const effect = (index: number, target: string, event: string | null = "job.succeeded", key = "k") => ({
  job: id(index),
  address: `http://receiver/${target}`,
  key,
  event,
});
const exit = (more: Partial<Exit>): Exit => ({
  worker: 1,
  code: 0,
  signal: null,
  sent: ["SIGTERM"],
  isLate: false,
  ...more,
});

/** Nothing is wrong. */
const right = (): Observed & {
  results: Map<string, { status: string }>;
  inResultQueue: Set<string | null>;
} => ({
  results: new Map([
    [id(0), { status: "succeeded" }],
    [id(1), { status: "succeeded" }],
    [id(3), { status: "failed" }],
    [id(4), { status: "succeeded" }],
    [id(5), { status: "succeeded" }],
    [id(6), { status: "failed" }],
  ]),
  deadJobs: [
    { job: id(2), reason: "The body is not JSON." },
    // A failed job may also be in the dead-letter queue.
    { job: id(6), reason: "The engine died." },
  ],
  deadDeliveries: [{ job: id(4), address: "http://receiver/gone" }],
  effects: [
    effect(0, "callback"),
    effect(1, "callback"),
    effect(1, "rest", null),
    effect(3, "callback", "job.failed"),
    effect(5, "callback"),
    effect(6, "callback", "job.failed"),
  ],
  inResultQueue: new Set([id(5)]),
  begun: [id(0), id(1), id(4), id(5), id(6)],
  left: { "kamado-jobs": 0 },
  exits: [
    exit({}),
    exit({ code: null, signal: "SIGKILL", sent: ["SIGKILL"] }),
    // While it starts, it does not handle SIGTERM yet.
    exit({ code: null, signal: "SIGTERM" }),
    // Killed while it was stopping.
    exit({ code: null, signal: "SIGKILL", sent: ["SIGTERM", "SIGKILL"] }),
  ],
});
const findings = (observed: Observed) =>
  judge(PLANNED, observed).findings.map(({ is, job, what }) => `${is} ${job}: ${what}`);

test("one line says that nothing is wrong", () => {
  const verdict = judge(PLANNED, right());
  expect(verdict).toMatchObject({ findings: [], good: true });
  expect(summaryOf(verdict)).toBe("storm: 7 jobs, 7 final, 0 lost, 0 doubled, 1.00 inferences per job");
});

describe("it finds", () => {
  const without = <T>(all: readonly T[], index: number) => all.filter((_, at) => at !== index);
  test.each<[string, Partial<Observed>, string]>([
    [
      "a job without an end",
      { results: new Map([...right().results].slice(1)), effects: right().effects.slice(1) },
      `lost ${id(0)}: it has no end`,
    ],
    [
      "a malformed job without a dead letter",
      { deadJobs: right().deadJobs.slice(1) },
      `lost ${id(2)}: it has no end`,
    ],
    [
      "a missing effect",
      { effects: without(right().effects, 2) },
      `lost ${id(1)}: no effect at http://receiver/rest`,
    ],
    [
      "a failure that was not delivered",
      { effects: without(right().effects, 3) },
      `lost ${id(3)}: no effect`,
    ],
    [
      "a refused delivery without a dead letter",
      { deadDeliveries: [] },
      `lost ${id(4)}: its refused delivery`,
    ],
    [
      "a result that is missing in its queue",
      { inResultQueue: new Set() },
      `lost ${id(5)}: its result is not in the queue`,
    ],
    [
      "a delivery that should have succeeded, but is a dead letter",
      {
        effects: right().effects.slice(1),
        deadDeliveries: [...right().deadDeliveries, { job: id(0), address: "http://receiver/callback" }],
      },
      `lost ${id(0)}: no effect at http://receiver/callback; its delivery is a dead letter`,
    ],
    [
      "two effects under two keys",
      { effects: [...right().effects, effect(0, "callback", "job.succeeded", "other")] },
      `doubled ${id(0)}: 2 effects`,
    ],
    [
      "a result and a dead letter for one job",
      { deadJobs: [...right().deadJobs, { job: id(0), reason: "x" }] },
      `doubled ${id(0)}: it has two ends: succeeded and dead`,
    ],
    [
      "a job that should have succeeded, but failed",
      { results: new Map([...right().results, [id(0), { status: "failed" }]]) },
      `wrong ${id(0)}: it ended failed, not succeeded`,
    ],
    [
      "a receiver that received another end",
      { effects: [effect(0, "callback", "job.failed"), ...right().effects.slice(1)] },
      `wrong ${id(0)}: it ended succeeded, but http://receiver/callback received job.failed`,
    ],
    [
      "a dead letter without a reason",
      { deadJobs: [{ job: id(2), reason: undefined }] },
      `wrong ${id(2)}: its dead letter has no reason`,
    ],
    [
      "a message left in a queue",
      { left: { "kamado-jobs": 2 } },
      "wrong null: 2 messages are left in kamado-jobs",
    ],
    [
      "an effect of no job",
      { effects: [...right().effects, effect(9, "callback")] },
      "wrong null: 1 effects belong to no job",
    ],
    [
      "a dead delivery of no job",
      { deadDeliveries: [...right().deadDeliveries, { job: null, address: "http://receiver/callback" }] },
      "wrong null: 1 dead deliveries belong to no job",
    ],
    [
      "a message of no job in the result queue",
      { inResultQueue: new Set([...right().inResultQueue, null]) },
      "wrong null: 1 messages in the result queue belong to no job",
    ],
    [
      "an effect at an address that its job did not name",
      { effects: [...right().effects, effect(0, "rest", null)] },
      `wrong ${id(0)}: an effect at http://receiver/rest, which the job did not name`,
    ],
    [
      "an effect of a body that is not a job",
      { effects: [...right().effects, effect(2, "callback", "job.failed")] },
      `wrong ${id(2)}: an effect at http://receiver/callback, which the job did not name`,
    ],
    [
      "a result in a queue that its job did not name",
      { inResultQueue: new Set([...right().inResultQueue, id(0)]) },
      `wrong ${id(0)}: its result is in a queue that the job did not name`,
    ],
    [
      "an answer begun for a body that is not a job",
      { begun: [...right().begun, id(2)] },
      `wrong ${id(2)}: the model was asked 1 times, but must not be asked`,
    ],
    [
      "answers begun for a job with invalid input",
      { begun: [...right().begun, id(3), id(3)] },
      `wrong ${id(3)}: the model was asked 2 times`,
    ],
    [
      "a success without an engine's answer",
      { begun: without(right().begun, 0) },
      `wrong ${id(0)}: it succeeded, but no engine recorded an answer`,
    ],
    [
      "a worker that ended by itself",
      { exits: [exit({ code: 1, sent: [] })] },
      "wrong null: worker 1 ended by itself: exit code 1; see worker-1.log",
    ],
    [
      "a worker that ended by itself with exit code 0",
      { exits: [exit({ sent: [] })] },
      "wrong null: worker 1 ended by itself: exit code 0",
    ],
    [
      "a worker that failed after SIGTERM",
      { exits: [exit({ code: 70 })] },
      "wrong null: worker 1 ended by itself: exit code 70",
    ],
    [
      "a worker that ended by a signal of somebody else",
      { exits: [exit({ code: null, signal: "SIGSEGV" })] },
      "wrong null: worker 1 ended by itself: SIGSEGV",
    ],
    [
      "a worker that SIGTERM did not end",
      { exits: [exit({ code: null, signal: "SIGKILL", sent: ["SIGTERM", "SIGKILL"], isLate: true })] },
      "wrong null: worker 1 did not end after SIGTERM, and was killed",
    ],
  ])("%s", (_, changed, expected) => {
    const observed = { ...right(), ...changed };
    expect(findings(observed)).toEqual(expect.arrayContaining([expect.stringContaining(expected)]));
    expect(judge(PLANNED, observed).good).toBe(false);
  });
});

test("two dead letters for one job are one end, because a queue may repeat a message", () => {
  const twice = [...right().deadJobs, { job: id(2), reason: "The body is not JSON." }];
  expect(findings({ ...right(), deadJobs: twice })).toEqual([]);
});

describe("answers beyond one for each job", () => {
  const storm = (jobs: number, kills: number, more: ShapeName[] = []): Planned => ({
    ...PLANNED,
    list: Array.from({ length: jobs }, (_, index) => job(index, more[index] ?? "plain")),
    kills,
  });
  const allowed = (...of: Parameters<typeof storm>) => allowedPerJob(storm(...of));

  test("may be a tenth of the jobs where there is at most one fault to ten jobs", () => {
    for (const jobs of [10, 60, 300, 2_000])
      for (const kills of [0, jobs / 20, jobs / 10])
        expect([jobs, kills, allowed(jobs, kills)]).toEqual([jobs, kills, 1.1]);
  });

  test("may be a tenth in the storm of docs/storm.md, its poison included", () => {
    const plan = planOf({ seed: 1, jobs: 2_000, kills: 200, workers: 3, seconds: 1 });
    expect(allowedPerJob({ ...PLANNED, ...plan })).toBe(1.1);
  });

  test("may be one for each fault where there are more faults", () => {
    expect(allowed(60, 12)).toBe(1.2);
    expect(allowed(100, 300)).toBe(4);
  });

  test("may be what poison and killed engines cost, in addition, where there are few jobs", () => {
    expect(allowed(60, 0, ["poison", "engine-killed"])).toBeCloseTo(1.3);
    expect(allowed(120, 12, ["poison", "engine-killed"])).toBeCloseTo(1.2);
    expect(allowed(300, 30, ["poison", "poison", "engine-killed"])).toBeCloseTo(1.167, 3);
    expect(allowed(1_000, 100, ["poison", "poison", "engine-killed"])).toBe(1.1);
  });

  test("are too many when there is one more; jobs that need no answer do not count", () => {
    const plain = storm(10, 1).list;
    const plan = { ...PLANNED, list: [...plain, job(10, "expires")], kills: 1 };
    const observed: Observed = {
      ...right(),
      results: new Map(plan.list.map((one) => [one.id, { status: "succeeded" }])),
      effects: plan.list.map((_, index) => effect(index, "callback")),
      deadJobs: [],
      deadDeliveries: [],
      inResultQueue: new Set(),
      begun: [...plain.map((one) => one.id), id(0), id(10), id(10)],
    };
    const verdict = { findings: [], inferencesPerJob: 1.1, allowedPerJob: 1.1, good: true };
    expect(judge(plan, observed)).toMatchObject(verdict);
    const oneMore = { ...observed, begun: [...observed.begun, id(1)] };
    expect(judge(plan, oneMore)).toMatchObject({ ...verdict, inferencesPerJob: 1.2, good: false });
  });
});

test("a job counts once as lost or doubled", () => {
  const nothing = { ...right(), results: new Map(), effects: [], deadJobs: [] };
  expect(summaryOf(judge(PLANNED, nothing))).toContain("7 jobs, 0 final, 7 lost, 0 doubled");
});
