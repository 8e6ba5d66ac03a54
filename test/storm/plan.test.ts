// A storm is its seed: the same one plans the same, whatever the machine does with it.
import { describe, expect, test } from "vitest";
import { writeJob } from "../../storm/jobs.ts";
import { actOf, type Fault, faultOf, type Options, planOf } from "../../storm/plan.ts";
import { SHAPES, shapeOf } from "../../storm/shapes.ts";
import { parseBody } from "../../worker/job/envelope.ts";

const OPTIONS: Options = { seed: 7, jobs: 2_000, kills: 200, workers: 3, seconds: 200 };
const PLAN = planOf(OPTIONS);

test("the same seed gives the same plan and the same hash", () => {
  expect(planOf(OPTIONS)).toEqual(PLAN);
});

test.each([{ seed: 8 }, { jobs: 1_999 }, { kills: 199 }, { workers: 2 }, { seconds: 201 }])(
  "%j gives another",
  (other) => expect(planOf({ ...OPTIONS, ...other }).hash).not.toBe(PLAN.hash),
);

test("every shape of job comes, and every kind of blow at every worker", () => {
  expect(new Set(PLAN.list.map(({ shape }) => shape))).toEqual(new Set(Object.keys(SHAPES)));
  const blows = new Set(PLAN.blows.map((blow) => `${blow.do} ${blow.worker}`));
  const kinds = ["kill", "terminate", "freeze", "kill-engine", "terminate-engine", "freeze-engine"];
  expect(blows).toEqual(new Set(kinds.flatMap((kind) => [0, 1, 2].map((worker) => `${kind} ${worker}`))));
});

test("there are as many jobs and blows as were asked for, all within their time", () => {
  expect(new Set(PLAN.list.map(({ id }) => id)).size).toBe(2_000);
  expect(PLAN.blows).toHaveLength(200);
  const moments = [...PLAN.blows.map(({ at }) => at), ...PLAN.list.map(({ at }) => at[0]!)];
  expect(moments.filter((at) => at < 0 || at > 200_000)).toEqual([]);
});

test("even a small storm has bad luck and poison in it, whatever its seed", () => {
  for (let seed = 0; seed < 50; seed++) {
    const shapes = planOf({ ...OPTIONS, seed, jobs: 10 }).list.map(({ shape }) => shape);
    expect([seed, ...shapes]).toEqual(expect.arrayContaining(["unlucky", "poison"]));
  }
});

test("of a large one each job in 400 is unlucky and each in 500 poison, and a storm of one job is planned as well", () => {
  const count = (jobs: number, wanted: string) =>
    planOf({ ...OPTIONS, jobs }).list.filter(({ shape }) => shape === wanted).length;
  expect([count(20_000, "unlucky"), count(20_000, "poison")]).toEqual([50, 40]);
  expect(count(1, "unlucky") + count(1, "poison")).toBe(1);
});

describe("requests", () => {
  const nths = Array.from({ length: 5_000 }, (_, nth) => nth);
  test("pass the proxy most of the time, and meet every fault", () => {
    const faults = Map.groupBy(
      nths.map((nth) => faultOf(7, nth)),
      ({ is }) => is,
    );
    expect(new Set(faults.keys())).toEqual(
      new Set<Fault["is"]>(["none", "lose-request", "lose-answer", "twice", "delay", "error"]),
    );
    expect(faults.get("none")!.length / nths.length).toBeGreaterThan(0.8);
  });

  test("are taken by the receivers most of the time, and met with everything else", () => {
    const acts = Map.groupBy(
      nths.map((nth) => actOf(7, nth)),
      ({ is }) => is,
    );
    expect(acts.size).toBe(8);
    expect(acts.get("take")!.length / nths.length).toBeGreaterThan(0.7);
  });
});

test("a job is written so that the worker reads what was planned", () => {
  const places = {
    bucket: "kamado",
    toldQueueUrl: "http://127.0.0.1:1/told",
    receivers: ["http://127.0.0.1:2", "http://127.0.0.1:3", "http://127.0.0.1:4", "http://127.0.0.1:5"],
    pictureKey: "in/picture.png",
  };
  for (const job of PLAN.list.slice(0, 200)) {
    const { body, objects } = writeJob(job, places, 0);
    const context = { messageId: "m", rules: [] };
    const outer = parseBody(body, context);
    const read = outer.is === "pointer" ? parseBody(objects[0]!.body, context) : outer;
    expect([job.shape, read.is]).toEqual([job.shape, job.shape === "malformed" ? "malformed" : "job"]);
    expect([job.shape, outer.is === "pointer"]).toEqual([job.shape, job.shape === "pointer"]);
    if (read.is === "job")
      expect(read.job).toMatchObject({ id: job.id, deliver: { length: shapeOf(job.shape).to.length } });
    expect(body + objects[0]?.body).toContain(job.id);
  }
});
