// What was used in a day is counted, survives a restart, and never fails a job.
import { existsSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { silentLog } from "../../worker/logging/log.ts";
import { DailyUsage } from "../../worker/tenants/daily-usage.ts";
import type { DayBudgets } from "../../worker/tenants/day-budgets.ts";
import { FakeClock } from "../fakes/clock.ts";
import { createRig } from "../rig.ts";

const temporaryFolder = () => mkdtempSync(join(tmpdir(), "kamado-"));
const SECOND = 1_000;
const DAY = 86_400 * SECOND;
const acme = { tenant: "acme", kind: "prompt" };

function open(
  budgets: DayBudgets = {},
  { clock = new FakeClock(), file }: { clock?: FakeClock; file?: string } = {},
) {
  clock.epoch = new Date(2026, 10, 29, 12).getTime();
  return new DailyUsage({ budgets, file, clock, log: silentLog });
}
const run = (usage: DailyUsage, owner = acme, used = { tokens: 10, seconds: 2 }) =>
  usage.begin(owner, { attempt: 1 }).end({ ...used, wasRun: true });

test("jobs, tokens and seconds are counted by tenant and kind", () => {
  const usage = open();
  run(usage);
  run(usage);
  run(usage, { tenant: "acme", kind: "image.check" });
  run(usage, { tenant: null as never, kind: "prompt" });
  expect(usage.today().rows).toEqual(
    expect.arrayContaining([
      { ...acme, jobs: 2, tokens: 20, seconds: 4 },
      { tenant: "acme", kind: "image.check", jobs: 1, tokens: 10, seconds: 2 },
      { tenant: null, kind: "prompt", jobs: 1, tokens: 10, seconds: 2 },
    ]),
  );
  expect(usage.usedBy({ tenant: "acme" })).toEqual({ jobs: 3, tokens: 30, seconds: 6 });
});

test("a run that a stop cut is no job, though its tokens count; a retry is none either", () => {
  const usage = open({ tenants: { acme: { jobs: 1 } } });
  usage.begin(acme, { attempt: 1 }).end({ tokens: 5, seconds: 1, wasRun: false });
  usage.begin(acme, { attempt: 1 }).end({ tokens: 5, seconds: 1, wasRun: true });
  usage.begin(acme, { attempt: 2 }).end({ tokens: 5, seconds: 1, wasRun: true });
  expect(usage.usedBy({})).toEqual({ jobs: 1, tokens: 15, seconds: 3 });
});

test("jobs that run at the same time cannot share the last place", () => {
  const usage = open({ tenants: { acme: { jobs: 1 } } });
  usage.begin(acme, { attempt: 1 });
  expect(() => usage.begin(acme, { attempt: 1 })).toThrow(
    expect.objectContaining({ code: "budget_exceeded" }),
  );
  usage.begin({ tenant: "other", kind: "prompt" }, { attempt: 1 });
});

test("the next day begins with nothing used", async () => {
  const clock = new FakeClock();
  const usage = open({ all: { jobs: 1 } }, { clock });
  run(usage);
  await clock.advance(DAY);
  run(usage);
  expect(usage.today().rows).toMatchObject([{ jobs: 1 }]);
});

describe("a file", () => {
  test("keeps the counts over a restart, and workers with the same folder share them", () => {
    const file = join(temporaryFolder(), "data/usage.db");
    const [first, second] = [open({}, { file }), open({}, { file })];
    run(first);
    run(second);
    expect(first.usedBy({})).toEqual(second.usedBy({}));
    for (const one of [first, second]) one.close();
    const next = open({ all: { jobs: 2 } }, { file });
    expect(() => run(next)).toThrow("2 of 2 jobs");
    next.close();
  });

  test("that is damaged is set aside, and a new one begun", () => {
    const folder = temporaryFolder();
    const file = join(folder, "usage.db");
    writeFileSync(file, "no database, but long enough to be taken for one".repeat(100));
    const usage = open({}, { file });
    run(usage);
    expect(usage.usedBy({}).jobs).toBe(1);
    usage.close();
    expect(readdirSync(folder).some((name) => name.startsWith("usage.db.damaged-"))).toBe(true);
    const again = open({}, { file });
    expect(again.usedBy({}).jobs).toBe(1);
    again.close();
  });

  test("that cannot be made costs the restart its memory, and no job", () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "taken"), "");
    const usage = open({ all: { jobs: 1 } }, { file: join(folder, "taken/usage.db") });
    run(usage);
    expect(() => run(usage)).toThrow("budget of the day");
    expect(existsSync(join(folder, "taken/usage.db"))).toBe(false);
  });

  test("is not needed for a run that ends after the worker has stopped", () => {
    const usage = open();
    const running = usage.begin(acme, { attempt: 1 });
    usage.close();
    running.end({ tokens: 1, seconds: 1, wasRun: true });
    usage.close();
  });
});

describe("a job whose budget of the day is used up", () => {
  const of = (tenant: string) => ({ policy: { tenant } });

  async function spent() {
    const rig = createRig({ slots: 1, dayBudgets: { tenants: { acme: { jobs: 1 } } } });
    rig.consumer.start();
    await rig.send("first", of("acme"));
    await rig.complete("first");
    await rig.send("second", of("acme"));
    await rig.clock.advance(SECOND);
    return rig;
  }

  test("fails with what was used and when the day ends; its sender gets that, and nothing of it is lost", async () => {
    const rig = await spent();
    const { status, error } = rig.stored("second")!;
    expect(status).toBe("failed");
    expect(error).toMatchObject({ code: "budget_exceeded", message: expect.stringContaining("1 of 1 jobs") });
    expect(Date.parse(error!.retryAt!)).toBeGreaterThan(rig.clock.wall());
    expect(rig.deliveries.map(({ result }) => [result.id, result.status])).toContainEqual([
      "second",
      "failed",
    ]);
    expect(rig.dead.messages).toMatchObject([{ attributes: { "kamado-code": "budget_exceeded" } }]);
    expect(rig.runs).toHaveLength(1);
  });

  test("does not stop the jobs of others", async () => {
    const rig = await spent();
    await rig.send("others", of("another"));
    await rig.complete("others");
    expect(rig.stored("others")?.status).toBe("succeeded");
  });

  test("runs when it is sent again the next day, under the same id", async () => {
    const rig = await spent();
    await rig.send("second", of("acme"));
    await rig.clock.advance(SECOND);
    expect(rig.runs).toHaveLength(1);
    await rig.clock.advance(DAY);
    await rig.send("second", of("acme"));
    await rig.complete("second");
    expect(rig.stored("second")?.status).toBe("succeeded");
    expect(rig.deliveries.map(({ result }) => [result.id, result.status])).toContainEqual([
      "second",
      "succeeded",
    ]);
  });

  test("stands in the worker's state beside what others have used", async () => {
    const rig = await spent();
    await rig.send("third", of("another"));
    await rig.clock.advance(SECOND);
    expect(rig.worker.usage()?.rows).toEqual([
      { tenant: "acme", kind: "work", jobs: 1, tokens: 0, seconds: expect.any(Number) },
      { tenant: "another", kind: "work", jobs: 1, tokens: 0, seconds: 0 },
    ]);
    expect(rig.worker.state().tenants).toMatchObject([
      { name: "another", running: 1, waiting: 0 },
      { name: "acme", running: 0, waiting: 0, today: { jobs: 1 }, limits: { jobs: 1 } },
    ]);
  });
});
