// A seed stands for one plan, on every machine.
import { describe, expect, test } from "vitest";
import { SHAPES, shapeOf, writeJob } from "../../storm/jobs.ts";
import {
  type Options,
  planOf,
  type RequestFault,
  receiverFaultOf,
  requestFaultOf,
} from "../../storm/plan.ts";
import { parseBody } from "../../worker/job/envelope.ts";

const OPTIONS: Options = { seed: 7, jobs: 2_000, kills: 200, workers: 3, seconds: 200 };
const PLAN = planOf(OPTIONS);

test("the same seed gives the same plan and the same hash", () => {
  expect(planOf(OPTIONS)).toEqual(PLAN);
});

test.each([{ seed: 8 }, { jobs: 1_999 }, { kills: 199 }, { workers: 2 }, { seconds: 201 }])(
  "%j gives another plan",
  (other) => expect(planOf({ ...OPTIONS, ...other }).hash).not.toBe(PLAN.hash),
);

test("every shape of job occurs, and every kind of fault in every worker", () => {
  expect(new Set(PLAN.list.map(({ shape }) => shape))).toEqual(new Set(Object.keys(SHAPES)));
  const faults = new Set(PLAN.processFaults.map((fault) => `${fault.do} ${fault.worker}`));
  const kinds = ["kill", "terminate", "pause", "kill-engine", "terminate-engine", "pause-engine"];
  expect(faults).toEqual(new Set(kinds.flatMap((kind) => [0, 1, 2].map((worker) => `${kind} ${worker}`))));
});

test("there are as many jobs and faults as were asked for, all within the planned time", () => {
  expect(new Set(PLAN.list.map(({ id }) => id)).size).toBe(2_000);
  expect(PLAN.processFaults).toHaveLength(200);
  const moments = [...PLAN.processFaults.map(({ at }) => at), ...PLAN.list.map(({ at }) => at[0]!)];
  expect(moments.filter((at) => at < 0 || at > 200_000)).toEqual([]);
});

test("even a small storm has a job whose engine is killed and a poison job, whatever its seed", () => {
  for (let seed = 0; seed < 50; seed++) {
    const shapes = planOf({ ...OPTIONS, seed, jobs: 10 }).list.map(({ shape }) => shape);
    expect([seed, ...shapes]).toEqual(expect.arrayContaining(["engine-killed", "poison"]));
  }
});

test("one job in 400 has its engine killed and one in 250 is poison; a storm of one job can be planned too", () => {
  const count = (jobs: number, wanted: string) =>
    planOf({ ...OPTIONS, jobs }).list.filter(({ shape }) => shape === wanted).length;
  expect([count(20_000, "engine-killed"), count(20_000, "poison")]).toEqual([50, 80]);
  expect(count(1, "engine-killed") + count(1, "poison")).toBe(1);
});

describe("requests", () => {
  const nths = Array.from({ length: 5_000 }, (_, nth) => nth);
  test("pass the proxy most of the time, and every fault occurs", () => {
    const faults = Map.groupBy(
      nths.map((nth) => requestFaultOf(7, nth)),
      ({ is }) => is,
    );
    expect(new Set(faults.keys())).toEqual(
      new Set<RequestFault["is"]>(["none", "lose-request", "lose-answer", "twice", "delay", "error"]),
    );
    expect(faults.get("none")!.length / nths.length).toBeGreaterThan(0.8);
  });

  test("are accepted by the receivers most of the time, and every fault occurs", () => {
    const faults = Map.groupBy(
      nths.map((nth) => receiverFaultOf(7, nth)),
      ({ is }) => is,
    );
    expect(faults.size).toBe(8);
    expect(faults.get("accept")!.length / nths.length).toBeGreaterThan(0.7);
  });
});

test("the worker reads from a job what was planned", () => {
  const places = {
    bucket: "kamado",
    resultQueueUrl: "http://127.0.0.1:1/results",
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
