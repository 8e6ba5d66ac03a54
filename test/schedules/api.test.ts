// Schedules over HTTP: what the console and the command line send and get.
import { beforeEach, expect, test } from "vitest";
import prompt from "../../handlers/prompt.ts";
import type { NewJob } from "../../worker/job/send-jobs.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { createSchedulesApi } from "../../worker/schedules/api.ts";
import { readSchedule, type Schedule } from "../../worker/schedules/schedule.ts";
import { Schedules } from "../../worker/schedules/schedules.ts";
import { FakeBucket } from "../fakes/bucket.ts";
import { FakeClock } from "../fakes/clock.ts";

const registry = new Map([["prompt", prompt]]) as never;
const news = { name: "news", cron: "0 7 * * *", timezone: "UTC", kind: "prompt", input: { prompt: "x" } };

let app: ReturnType<typeof createSchedulesApi>;
let sent: NewJob[];
beforeEach(() => {
  sent = [];
  const send = async (job: NewJob) => {
    sent.push(job);
    return { id: job.id!, kind: job.kind, messageId: "m", jobHash: "h" };
  };
  const { schedule } = readSchedule({ ...news, name: "door" }, registry) as { schedule: Schedule };
  const file = { path: "/etc/s.json", schedules: [schedule] };
  const shared = { registry, bucket: new FakeBucket(), clock: new FakeClock(), log: silentLog };
  app = createSchedulesApi(new Schedules({ ...shared, file, send: { send }, folder: undefined }));
});

async function call(method: string, path: string, body?: unknown) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const response = await app.request(path, { method, ...(body !== undefined && { body: text }) });
  return { status: response.status, body: response.status === 204 ? null : await response.json() };
}

test("are listed with their next time and where they stand", async () => {
  expect(await call("GET", "/")).toEqual({
    status: 200,
    body: {
      items: [
        {
          ...news,
          ...{ name: "door", deliver: [], policy: {}, catchUp: true, enabled: true },
          ...{ source: "file", next: Date.UTC(2026, 0, 1, 7), last: null, job: null, problem: null },
        },
      ],
    },
  });
});

test("are added, changed, replaced and removed", async () => {
  expect(await call("POST", "/", news)).toMatchObject({ status: 201, body: { ...news, source: "console" } });
  expect(await call("PATCH", "/news", { enabled: false })).toMatchObject({
    body: { enabled: false, next: null },
  });
  expect(await call("GET", "/news")).toMatchObject({
    status: 200,
    body: { cron: "0 7 * * *", enabled: false },
  });
  const other = { cron: "@hourly", kind: "prompt", input: { prompt: "y" } };
  expect(await call("PUT", "/news", other)).toMatchObject({
    body: { name: "news", ...other, enabled: true },
  });
  expect(await call("DELETE", "/news")).toEqual({ status: 204, body: null });
  expect(await call("DELETE", "/news")).toMatchObject({
    status: 404,
    body: { error: { code: "schedule_not_found" } },
  });
});

test("run at once", async () => {
  expect(await call("POST", "/door/run")).toMatchObject({
    status: 202,
    body: { id: "door-2026-01-01T00:00:00.000Z" },
  });
  expect(sent).toMatchObject([{ kind: "prompt", input: { prompt: "x" } }]);
});

test.each([
  ["what is no JSON", "POST", "/", "{", 400, "malformed_json"],
  ["a list", "POST", "/", [], 400, "invalid_input"],
  ["nothing", "POST", "/", undefined, 400, "malformed_json"],
  ["a wrong field", "POST", "/", { ...news, cron: "soon" }, 400, "invalid_input"],
  [
    "what is too long",
    "POST",
    "/",
    { ...news, input: { prompt: "x".repeat(300_000) } },
    413,
    "input_too_large",
  ],
  ["another time for one of the owner's file", "PATCH", "/door", { cron: "@daily" }, 400, "invalid_input"],
  ["one that there is not", "PATCH", "/dor", { enabled: false }, 404, "schedule_not_found"],
  ["a run of one that there is not", "POST", "/dor/run", undefined, 404, "schedule_not_found"],
])("%s is refused with a code and what to do", async (_, method, path, body, status, code) => {
  expect(await call(method, path, body)).toEqual({
    status,
    body: { error: { code, message: expect.any(String), hint: expect.any(String) } },
  });
});
