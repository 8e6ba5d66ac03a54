// The verdict must be able to fail: each promise is broken here once, and named.
import { describe, expect, test } from "vitest";
import { judge, lineOf } from "../../storm/count.ts";
import type { Observed, Planned } from "../../storm/observed.ts";
import type { PlannedJob } from "../../storm/plan.ts";
import type { ShapeName } from "../../storm/shapes.ts";

const job = (index: number, shape: ShapeName): PlannedJob => ({
  id: `storm-0000${index}`,
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
  job: `storm-0000${index}`,
  address: `http://receiver/${target}`,
  key,
  event,
});
const id = (index: number) => `storm-0000${index}`;

/** All as it must be. */
const calm = (): Observed & { results: Map<string, { status: string }>; told: Set<string> } => ({
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
});
const findings = (observed: Observed) =>
  judge(PLANNED, observed).findings.map(({ is, job, what }) => `${is} ${job}: ${what}`);

test("when everything is as it must be, it says so in one line", () => {
  const verdict = judge(PLANNED, calm());
  expect(verdict).toMatchObject({ findings: [], good: true });
  expect(lineOf(verdict)).toBe("storm: 7 jobs, 7 final, 0 lost, 0 doubled, 1.00 inferences per job");
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

test("more than a tenth of the answers in vain is too much; jobs that need none do not count", () => {
  const begun = [...calm().begun, id(0)];
  expect(judge(PLANNED, { ...calm(), begun })).toMatchObject({
    inferencesPerJob: 1.2,
    good: false,
    findings: [],
  });
  // Where most jobs are struck, each blow may cost one.
  expect(judge({ ...PLANNED, kills: 2 }, { ...calm(), begun })).toMatchObject({ good: true });
});

test("lost and doubled are counted by job", () => {
  const nothing = { ...calm(), results: new Map(), effects: [], deadJobs: [] };
  expect(lineOf(judge(PLANNED, nothing))).toContain("7 jobs, 0 final, 7 lost, 0 doubled");
});
