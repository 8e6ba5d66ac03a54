// Schedules as their owner meets them: a job at each time, also after a sleep, with another worker beside it, and while something is down.
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { KamadoError } from "../../worker/errors.ts";
import { defineHandler } from "../../worker/job/handler.ts";
import { resultKey } from "../../worker/job/result.ts";
import type { NewJob } from "../../worker/job/send-jobs.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { readSchedule, type Schedule } from "../../worker/schedules/schedule.ts";
import { Schedules } from "../../worker/schedules/schedules.ts";
import { FakeBucket } from "../fakes/bucket.ts";
import { FakeClock, settled } from "../fakes/clock.ts";

const say = defineHandler({
  kind: "say",
  summary: "Says it.",
  input: z.strictObject({ text: z.string() }),
  output: z.strictObject({}),
  run: async () => ({}),
});
const registry = new Map([["say", say]]) as never;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let clock: FakeClock;
let bucket: FakeBucket;
let sent: NewJob[];
/** Thrown by the next sends. */
let failures: KamadoError[];
beforeEach(() => {
  clock = new FakeClock();
  // 10:05 in the morning.
  clock.epoch = Date.parse("2026-11-29T10:05:00Z");
  bucket = new FakeBucket({ clock });
  sent = [];
  failures = [];
});

const send = async (job: NewJob) => {
  const failure = failures.shift();
  if (failure) throw failure;
  sent.push(job);
  return { id: job.id!, kind: job.kind, messageId: "m", jobHash: "h" };
};
const door = { name: "door", cron: "*/10 * * * *", timezone: "UTC", kind: "say", input: { text: "look" } };
const inFile = (...all: object[]) => ({
  path: "/etc/schedules.json",
  schedules: all.map((one) => (readSchedule(one, registry) as { schedule: Schedule }).schedule),
});

function worker(file = inFile(door), folder?: string): Schedules {
  const options = { file, registry, send: { send }, bucket, folder, clock, log: silentLog };
  const schedules = new Schedules(options);
  schedules.start();
  onTestFinished(() => schedules.stop());
  return schedules;
}
const ids = () => sent.map(({ id }) => id);
/** Its result is there, whichever worker ran it. */
const end = (id: string) => bucket.put(resultKey(id), "{}", { contentType: "application/json" });
const endAll = () => Promise.all(sent.map(({ id }) => end(id!)));
/** A machine that sleeps: its clock goes on, and its timers stand still. */
const sleep = (ms: number) => {
  clock.epoch += ms;
};
const iso = (at: number | null) => at && new Date(at).toISOString().slice(0, 16);

describe("a schedule", () => {
  test("sends its job at each time, with an id of name and time", async () => {
    const schedules = worker(
      inFile({ ...door, deliver: [{ sqs: "https://q.home/a" }], policy: { priority: 7 } }),
    );
    await clock.advance(5 * MINUTE - 1);
    expect(sent).toEqual([]);
    expect(iso(schedules.get("door").next)).toBe("2026-11-29T10:10");
    await clock.advance(1);
    expect(sent).toEqual([
      {
        id: "door-2026-11-29T10:10Z",
        kind: "say",
        input: { text: "look" },
        deliver: [{ sqs: "https://q.home/a" }],
        policy: { priority: 7 },
      },
    ]);
    await endAll();
    await clock.advance(10 * MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z", "door-2026-11-29T10:20Z"]);
    expect(schedules.get("door")).toMatchObject({
      source: "file",
      last: { at: Date.parse("2026-11-29T10:20Z"), outcome: "sent" },
      job: { id: "door-2026-11-29T10:20Z" },
    });
  });

  test("that is turned off sends nothing, and does not make up for it", async () => {
    const schedules = worker(inFile({ ...door, enabled: false }));
    await clock.advance(HOUR);
    expect(schedules.get("door")).toMatchObject({ enabled: false, next: null });
    await schedules.edit("door", { enabled: true });
    await clock.advance(4 * MINUTE);
    expect(ids()).toEqual([]);
    await clock.advance(MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T11:10Z"]);
  });

  test("waits for the run before it: the next one is skipped, and the one after its result is not", async () => {
    const schedules = worker();
    await clock.advance(25 * MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z"]);
    expect(schedules.get("door").last).toEqual({ at: Date.parse("2026-11-29T10:30Z"), outcome: "skipped" });
    await endAll();
    // A run that was skipped stays skipped.
    await clock.advance(9 * MINUTE);
    expect(sent).toHaveLength(1);
    await clock.advance(MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z", "door-2026-11-29T10:40Z"]);
  });

  test("does not wait for ever for a job whose message was lost", async () => {
    worker();
    await clock.advance(25 * HOUR);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z", "door-2026-11-30T10:10Z"]);
  });
});

describe("after a sleep", () => {
  test("the latest of the runs that were missed is made up for, once", async () => {
    worker();
    await clock.advance(MINUTE);
    sleep(3 * HOUR);
    await clock.advance(10_000);
    expect(ids()).toEqual(["door-2026-11-29T13:00Z"]);
    await endAll();
    await clock.advance(5 * MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T13:00Z", "door-2026-11-29T13:10Z"]);
  });

  test("nothing is made up for where catchUp is false, and the list says so", async () => {
    const schedules = worker(inFile({ ...door, catchUp: false }));
    await clock.advance(MINUTE);
    sleep(3 * HOUR);
    await clock.advance(10_000);
    expect(sent).toEqual([]);
    expect(schedules.get("door").last).toEqual({ at: Date.parse("2026-11-29T13:00Z"), outcome: "missed" });
    await clock.advance(5 * MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T13:10Z"]);
  });

  test("nor is a schedule late by a few seconds missed", async () => {
    worker(inFile({ ...door, catchUp: false }));
    await clock.advance(4 * MINUTE);
    sleep(80_000);
    await clock.advance(10_000);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z"]);
  });
});

describe("a clock that is set", () => {
  test("back by seconds repeats nothing", async () => {
    worker();
    await clock.advance(5 * MINUTE);
    await endAll();
    sleep(-20_000);
    await clock.advance(MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z"]);
  });

  test("from a year that is wrong goes on at the right times", async () => {
    clock.epoch = Date.parse("2031-01-01T00:05:00Z");
    worker();
    await clock.advance(6 * MINUTE);
    await endAll();
    clock.epoch = Date.parse("2026-11-29T10:05:00Z") - clock.now();
    await clock.advance(10 * MINUTE);
    expect(ids()).toEqual(["door-2031-01-01T00:10Z", "door-2026-11-29T10:10Z"]);
  });
});

describe("a worker that starts anew", () => {
  const folder = () => mkdtempSync(join(tmpdir(), "kamado-schedules-"));

  test("repeats no run, and makes up for the latest that was missed meanwhile", async () => {
    const here = folder();
    const first = worker(inFile(door), here);
    await clock.advance(5 * MINUTE);
    await endAll();
    await first.stop();
    const second = worker(inFile(door), here);
    await clock.advance(MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z"]);
    await second.stop();
    sleep(HOUR);
    worker(inFile(door), here);
    await clock.advance(0);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z", "door-2026-11-29T11:10Z"]);
  });

  test("makes up for the first run of a schedule too", async () => {
    const here = folder();
    await worker(inFile(door), here).stop();
    sleep(HOUR);
    worker(inFile(door), here);
    await clock.advance(0);
    expect(ids()).toEqual(["door-2026-11-29T11:00Z"]);
  });

  test("makes up for nothing of a schedule that is new, or has another time than before", async () => {
    const here = folder();
    await worker(inFile(door), here).stop();
    sleep(HOUR);
    worker(inFile({ ...door, cron: "*/20 * * * *" }, { ...door, name: "new" }), here);
    await clock.advance(0);
    expect(sent).toEqual([]);
  });

  test("sets a damaged file aside and begins anew", async () => {
    const here = folder();
    for (const name of ["own.json", "state.json"]) writeFileSync(join(here, name), '{"door": ');
    worker(inFile(door), here);
    await clock.advance(5 * MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z"]);
    expect(readFileSync(join(here, "own.json.damaged"), "utf8")).toBe('{"door": ');
    expect(existsSync(join(here, "state.json.damaged"))).toBe(true);
  });
});

describe("two workers with the same schedule", () => {
  test("send one job, and wait for it together", async () => {
    const [one, other] = [worker(), worker()];
    await clock.advance(6 * MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z"]);
    await clock.advance(10 * MINUTE);
    expect(sent).toHaveLength(1);
    await endAll();
    await clock.advance(10 * MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z", "door-2026-11-29T10:30Z"]);
    for (const schedules of [one, other])
      expect(schedules.get("door")).toMatchObject({
        last: { outcome: "sent" },
        job: { id: "door-2026-11-29T10:30Z" },
      });
  });

  test("send one job when both look at the same moment", async () => {
    const [both, read] = [Promise.withResolvers<void>(), bucket.get.bind(bucket)];
    let looking = 0;
    bucket.get = async (...asked) => {
      const found = read(...asked);
      // It is awaited below.
      found.catch(() => {});
      if (++looking === 2) both.resolve();
      await both.promise;
      return found;
    };
    worker();
    worker();
    await clock.advance(6 * MINUTE);
    expect(looking).toBeGreaterThanOrEqual(2);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z"]);
  });

  test("leave it to the one that has begun, and send it if that one died before it did", async () => {
    worker();
    await clock.advance(5 * MINUTE - 1);
    const at = Date.parse("2026-11-29T10:10Z");
    const died = { at, job: "door-2026-11-29T10:10Z", by: "another", sentAt: null };
    await bucket.put("running/schedules/door.json", JSON.stringify(died), {
      contentType: "application/json",
    });
    await clock.advance(50_000);
    expect(ids()).toEqual([]);
    await clock.advance(20_000);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z"]);
  });

  test("send it under one id where the store cannot tell them apart", async () => {
    bucket.ignoresConditions = true;
    worker();
    worker();
    await clock.advance(6 * MINUTE);
    expect(new Set(ids())).toEqual(new Set(["door-2026-11-29T10:10Z"]));
  });

  test("a record that is damaged is in nobody's way", async () => {
    await bucket.put("running/schedules/door.json", "{", { contentType: "application/json" });
    worker();
    await clock.advance(6 * MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z"]);
  });
});

describe("what is down", () => {
  const down = new KamadoError("queue_unavailable", "The queue does not answer.");

  test("delays a run, and the list says why", async () => {
    failures = [down, down];
    const schedules = worker();
    await clock.advance(5 * MINUTE + 5_000);
    expect(sent).toEqual([]);
    expect(schedules.get("door").last).toMatchObject({
      outcome: "failed",
      error: { code: "queue_unavailable", message: "The queue does not answer." },
    });
    await clock.advance(30_000);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z"]);
    expect(schedules.get("door").last).toMatchObject({ outcome: "sent" });
  });

  test("for longer than until the next run costs all but the latest", async () => {
    failures = Array.from({ length: 10_000 }, () => down);
    worker();
    await clock.advance(HOUR);
    failures = [];
    await clock.advance(10_000);
    expect(ids()).toEqual(["door-2026-11-29T11:00Z"]);
  });

  test("a bucket that does not answer delays it too", async () => {
    worker();
    await clock.advance(4 * MINUTE);
    bucket.next("get", { is: "fail" });
    await clock.advance(80_000);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z"]);
  });

  test("a right that is missing delays it as well: somebody may grant it", async () => {
    failures = [new KamadoError("permission_missing", "No.")];
    worker();
    await clock.advance(6 * MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T10:10Z"]);
  });

  test("a job that the queue will never take is not sent again", async () => {
    failures = [new KamadoError("message_rejected", "No.")];
    const schedules = worker();
    await clock.advance(9 * MINUTE);
    expect(sent).toEqual([]);
    expect(schedules.get("door").last).toMatchObject({
      outcome: "failed",
      error: { code: "message_rejected" },
    });
  });
});

describe("the list", () => {
  const news = { ...door, name: "news", cron: "0 11 * * *" };
  const here = () => mkdtempSync(join(tmpdir(), "kamado-schedules-"));

  test("can be added to, changed and taken from; what was added is kept, as it was written", async () => {
    const folder = here();
    const schedules = worker(inFile(door), folder);
    expect(await schedules.add(news)).toMatchObject({ ...news, source: "console", enabled: true });
    await schedules.edit("news", { cron: "30 10 * * *" });
    expect(JSON.parse(readFileSync(join(folder, "own.json"), "utf8"))).toEqual([
      { ...news, cron: "30 10 * * *" },
    ]);
    await endAll();
    await clock.advance(25 * MINUTE);
    expect(ids()).toContain("news-2026-11-29T10:30Z");
    await schedules.stop();

    const again = worker(inFile(door), folder);
    expect(again.list().map(({ name }) => name)).toEqual(["door", "news"]);
    const papers = { ...door, name: "papers", cron: "@daily" };
    expect(await again.edit("news", papers, { replace: true })).toMatchObject(papers);
    await expect(again.remove("news")).rejects.toMatchObject({ code: "schedule_not_found" });
    await expect(again.edit("papers", { name: "door" })).rejects.toMatchObject({ code: "invalid_input" });
    await again.remove("papers");
    expect(again.list().map((one) => one.name)).toEqual(["door"]);
  });

  test("two changes at once are both made, and so is one that somebody writes into the file", async () => {
    const folder = here();
    const schedules = worker(inFile(door), folder);
    const [one, other, same] = await Promise.allSettled([
      schedules.add(news),
      schedules.add({ ...news, name: "papers" }),
      schedules.add(news),
    ]);
    expect([one.status, other.status, same.status]).toEqual(["fulfilled", "fulfilled", "rejected"]);
    const file = join(folder, "own.json");
    const all = JSON.parse(readFileSync(file, "utf8"));
    writeFileSync(file, JSON.stringify([...all, { ...news, name: "by-hand" }]));
    await schedules.edit("papers", { cron: "@daily" });
    expect(schedules.list().map(({ name }) => name)).toEqual(["door", "news", "papers", "by-hand"]);
  });

  test("a schedule that is added wakes the worker", async () => {
    const schedules = worker(inFile());
    await clock.advance(2_000);
    await schedules.add({ ...news, cron: "6 10 * * *" });
    await clock.advance(58_000);
    expect(ids()).toEqual(["news-2026-11-29T10:06Z"]);
  });

  test("what stands in the owner's file can be turned off and on, and is not changed", async () => {
    const folder = here();
    const schedules = worker(inFile(door), folder);
    expect(await schedules.edit("door", { enabled: false })).toMatchObject({ enabled: false, next: null });
    for (const change of [
      schedules.edit("door", { cron: "@daily" }),
      schedules.edit("door", { enabled: false, cron: "@daily" }),
      schedules.remove("door"),
    ])
      await expect(change).rejects.toMatchObject({
        code: "invalid_input",
        message: expect.stringContaining("/etc/schedules.json"),
      });
    await schedules.stop();
    const again = worker(inFile(door), folder);
    await clock.advance(HOUR);
    expect(sent).toEqual([]);
    await again.edit("door", { enabled: true });
    await clock.advance(10 * MINUTE);
    expect(ids()).toEqual(["door-2026-11-29T11:10Z"]);
  });

  test.each([
    ["a name that is taken", door, "there is a schedule"],
    ["what is wrong", { ...news, cron: "soon" }, "cron: expected five fields"],
    ["what its kind does not take", { ...news, input: {} }, "input, as say reads it"],
  ])("%s is refused, and nothing changes", async (_, written, words) => {
    const schedules = worker();
    await expect(schedules.add(written)).rejects.toMatchObject({
      code: "invalid_input",
      message: expect.stringContaining(words),
    });
    expect(schedules.list()).toHaveLength(1);
  });

  test("an entry that this version cannot read stays in the file, is shown with what is wrong, and does not run", async () => {
    const folder = here();
    const newer = { ...news, name: "newer", weather: "sunny" };
    writeFileSync(join(folder, "own.json"), JSON.stringify([newer, { ...news, cron: "*/10 * * * *" }]));
    const schedules = worker(inFile(), folder);
    expect(schedules.get("newer")).toMatchObject({ next: null, problem: expect.stringContaining("weather") });
    await expect(schedules.runNow("newer")).rejects.toMatchObject({ code: "invalid_input" });
    await schedules.add({ ...news, name: "more" });
    await clock.advance(HOUR);
    expect(ids()).not.toContain(expect.stringContaining("newer"));
    expect(JSON.parse(readFileSync(join(folder, "own.json"), "utf8"))[0]).toEqual(newer);
  });

  test("a run can be started at once, and the next waits for it", async () => {
    const schedules = worker();
    await clock.advance(250);
    expect(await schedules.runNow("door")).toMatchObject({ id: "door-2026-11-29T10:05:00.250Z" });
    await clock.advance(6 * MINUTE);
    expect(sent).toHaveLength(1);
    expect(schedules.get("door").last).toMatchObject({ outcome: "skipped" });
  });
});

test("a worker that stops sends nothing more, may be stopped twice, and before it starts", async () => {
  const schedules = worker();
  await settled();
  await Promise.all([schedules.stop(), schedules.stop()]);
  await clock.advance(HOUR);
  expect(sent).toEqual([]);
  const options = {
    file: inFile(door),
    registry,
    send: { send },
    bucket,
    folder: undefined,
    clock,
    log: silentLog,
  };
  await new Schedules(options).stop();
});
