// The verdict must be able to fail: each promise is broken here once, and named.
import { describe, expect, test } from "vitest";
import { judge, receiverOf } from "../../storm/count.ts";
import { allowedPerJob } from "../../storm/count-answers.ts";
import type { Exit, Observed, Planned } from "../../storm/observed.ts";
import { type PlannedJob, planOf } from "../../storm/plan.ts";
import type { ShapeName } from "../../storm/shapes.ts";

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
    job(3, "refused"),
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

/** All as it must be. */
const calm = (): Observed & { results: Map<string, { status: string }>; told: Set<string | null> } => ({
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
    // What failed for good may lie in the dead-letter queue besides.
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
  told: new Set([id(5)]),
  begun: [id(0), id(1), id(4), id(5), id(6)],
  left: { "kamado-jobs": 0 },
  exits: [
    exit({}),
    exit({ code: null, signal: "SIGKILL", sent: ["SIGKILL"] }),
    // Struck while it was starting: it does not listen for it yet.
    exit({ code: null, signal: "SIGTERM" }),
    // Killed while it was stopping.
    exit({ code: null, signal: "SIGKILL", sent: ["SIGTERM", "SIGKILL"] }),
  ],
});
const findings = (observed: Observed) =>
  judge(PLANNED, observed).findings.map(({ is, job, what }) => `${is} ${job}: ${what}`);

test("when everything is as it must be, it says so in one line", () => {
  const verdict = judge(PLANNED, calm());
  expect(verdict).toMatchObject({ findings: [], good: true });
  expect(receiverOf(verdict)).toBe("storm: 7 jobs, 7 final, 0 lost, 0 doubled, 1.00 inferences per job");
});

describe("it finds", () => {
  const without = <T>(all: readonly T[], index: number) => all.filter((_, at) => at !== index);
  test.each<[string, Partial<Observed>, string]>([
    [
      "a job without an end",
      { results: new Map([...calm().results].slice(1)), effects: calm().effects.slice(1) },
      `lost ${id(0)}: it has no end`,
    ],
    [
      "a malformed job that is nowhere",
      { deadJobs: calm().deadJobs.slice(1) },
      `lost ${id(2)}: it has no end`,
    ],
    [
      "an effect that never came",
      { effects: without(calm().effects, 2) },
      `lost ${id(1)}: no effect at http://receiver/rest`,
    ],
    ["a failure nobody heard of", { effects: without(calm().effects, 3) }, `lost ${id(3)}: no effect`],
    ["a refused delivery that was dropped", { deadDeliveries: [] }, `lost ${id(4)}: its refused delivery`],
    ["a queue that was not told", { told: new Set() }, `lost ${id(5)}: its queue was not told`],
    [
      "a good delivery that was given up",
      {
        effects: calm().effects.slice(1),
        deadDeliveries: [...calm().deadDeliveries, { job: id(0), address: "http://receiver/callback" }],
      },
      `lost ${id(0)}: no effect at http://receiver/callback; its delivery is a dead letter`,
    ],
    [
      "two effects under two keys",
      { effects: [...calm().effects, effect(0, "callback", "job.succeeded", "other")] },
      `doubled ${id(0)}: 2 effects`,
    ],
    [
      "a result and a dead letter for it",
      { deadJobs: [...calm().deadJobs, { job: id(0), reason: "x" }] },
      `doubled ${id(0)}: it has two ends: succeeded and dead`,
    ],
    [
      "a good job that failed",
      { results: new Map([...calm().results, [id(0), { status: "failed" }]]) },
      `wrong ${id(0)}: it ended failed, not succeeded`,
    ],
    [
      "a receiver that was told another end",
      { effects: [effect(0, "callback", "job.failed"), ...calm().effects.slice(1)] },
      `wrong ${id(0)}: it ended succeeded, and http://receiver/callback was told job.failed`,
    ],
    [
      "a dead letter without a reason",
      { deadJobs: [{ job: id(2), reason: undefined }] },
      `wrong ${id(2)}: its dead letter has no reason`,
    ],
    [
      "a message that is left",
      { left: { "kamado-jobs": 2 } },
      "wrong null: 2 messages are left in kamado-jobs",
    ],
    [
      "an effect of no job",
      { effects: [...calm().effects, effect(9, "callback")] },
      "wrong null: 1 effects belong to no job",
    ],
    [
      "a dead delivery of no job",
      { deadDeliveries: [...calm().deadDeliveries, { job: null, address: "http://receiver/callback" }] },
      "wrong null: 1 dead deliveries belong to no job",
    ],
    [
      "a queue told of no job",
      { told: new Set([...calm().told, null]) },
      "wrong null: 1 messages that a queue was told belong to no job",
    ],
    [
      "an effect at an address its job never named",
      { effects: [...calm().effects, effect(0, "rest", null)] },
      `wrong ${id(0)}: an effect at http://receiver/rest, which it never named`,
    ],
    [
      "an effect of a body that is no job",
      { effects: [...calm().effects, effect(2, "callback", "job.failed")] },
      `wrong ${id(2)}: an effect at http://receiver/callback, which it never named`,
    ],
    [
      "a queue told that its job never named",
      { told: new Set([...calm().told, id(0)]) },
      `wrong ${id(0)}: a queue was told that it never named`,
    ],
    [
      "an answer begun for a body that is no job",
      { begun: [...calm().begun, id(2)] },
      `wrong ${id(2)}: the model was asked 1 times, and nobody may ask it`,
    ],
    [
      "answers begun for a job that is refused",
      { begun: [...calm().begun, id(3), id(3)] },
      `wrong ${id(3)}: the model was asked 2 times`,
    ],
    [
      "a success that no engine knows of",
      { begun: without(calm().begun, 0) },
      `wrong ${id(0)}: it succeeded, and no engine noted an answer`,
    ],
    [
      "a worker that ended by itself",
      { exits: [exit({ code: 1, sent: [] })] },
      "wrong null: worker 1 ended by itself: exit code 1; see worker-1.log",
    ],
    [
      "a worker that ended by itself as if all were well",
      { exits: [exit({ sent: [] })] },
      "wrong null: worker 1 ended by itself: exit code 0",
    ],
    [
      "a worker that failed to stop in order",
      { exits: [exit({ code: 70 })] },
      "wrong null: worker 1 ended by itself: exit code 70",
    ],
    [
      "a worker that somebody else killed",
      { exits: [exit({ code: null, signal: "SIGSEGV" })] },
      "wrong null: worker 1 ended by itself: SIGSEGV",
    ],
    [
      "a worker that SIGTERM did not end",
      { exits: [exit({ code: null, signal: "SIGKILL", sent: ["SIGTERM", "SIGKILL"], isLate: true })] },
      "wrong null: worker 1 did not end after SIGTERM, and was killed",
    ],
  ])("%s", (_, changed, expected) => {
    const observed = { ...calm(), ...changed };
    expect(findings(observed)).toEqual(expect.arrayContaining([expect.stringContaining(expected)]));
    expect(judge(PLANNED, observed).good).toBe(false);
  });
});

test("a second dead letter for one job is still one end, as a queue may repeat a message", () => {
  const twice = [...calm().deadJobs, { job: id(2), reason: "The body is not JSON." }];
  expect(findings({ ...calm(), deadJobs: twice })).toEqual([]);
});

describe("answers in vain", () => {
  const storm = (jobs: number, kills: number, more: ShapeName[] = []): Planned => ({
    ...PLANNED,
    list: Array.from({ length: jobs }, (_, index) => job(index, more[index] ?? "plain")),
    kills,
  });
  const allowed = (...of: Parameters<typeof storm>) => allowedPerJob(storm(...of));

  test("may be a tenth of the jobs, however many jobs there are, where there is at most one blow to ten", () => {
    for (const jobs of [10, 60, 300, 2_000])
      for (const kills of [0, jobs / 20, jobs / 10])
        expect([jobs, kills, allowed(jobs, kills)]).toEqual([jobs, kills, 1.1]);
  });

  test("may be a tenth at the sizes that CI and the manual name, with the poison that is in them", () => {
    for (const [jobs, kills] of [
      [300, 30],
      [2_000, 200],
    ] as const) {
      const plan = planOf({ seed: 1, jobs, kills, workers: 3, seconds: 1 });
      expect(allowedPerJob({ ...PLANNED, ...plan })).toBe(1.1);
    }
  });

  test("may be one a blow where more blows are asked for", () => {
    expect(allowed(60, 12)).toBe(1.2);
    expect(allowed(100, 300)).toBe(4);
  });

  test("may be what poison and bad luck cost without a blow, where the jobs are few", () => {
    expect(allowed(60, 0, ["poison", "unlucky"])).toBe(1.2);
    expect(allowed(120, 12, ["poison", "unlucky"])).toBe(1.1);
  });

  test("are too many with one more; jobs that need no answer do not count", () => {
    const plain = storm(10, 1).list;
    const plan = { ...PLANNED, list: [...plain, job(10, "expires")], kills: 1 };
    const observed: Observed = {
      ...calm(),
      results: new Map(plan.list.map((one) => [one.id, { status: "succeeded" }])),
      effects: plan.list.map((_, index) => effect(index, "callback")),
      deadJobs: [],
      deadDeliveries: [],
      told: new Set(),
      begun: [...plain.map((one) => one.id), id(0), id(10), id(10)],
    };
    const verdict = { findings: [], inferencesPerJob: 1.1, allowedPerJob: 1.1, good: true };
    expect(judge(plan, observed)).toMatchObject(verdict);
    const oneMore = { ...observed, begun: [...observed.begun, id(1)] };
    expect(judge(plan, oneMore)).toMatchObject({ ...verdict, inferencesPerJob: 1.2, good: false });
  });
});

test("lost and doubled are counted by job", () => {
  const nothing = { ...calm(), results: new Map(), effects: [], deadJobs: [] };
  expect(receiverOf(judge(PLANNED, nothing))).toContain("7 jobs, 0 final, 7 lost, 0 doubled");
});
