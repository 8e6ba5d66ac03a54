// Everything that Kamado reads back from its bucket, its outbox or its disk: what another version wrote is read, and what is damaged
// has an end of its own. Neither is ever taken for a bucket that does not answer, which would be tried again without end.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { destinationKey } from "../../worker/deliver/deliver.ts";
import {
  readCalibration,
  subjectOf,
  writeCalibration,
} from "../../worker/engine/sizing/calibration-store.ts";
import { KamadoError } from "../../worker/errors.ts";
import { readLock } from "../../worker/job-lock/lock.ts";
import { silentLog } from "../../worker/logging/log.ts";
import { createDeliveryLog } from "../../worker/outbox/delivery-log.ts";
import { readDeliveryRecord } from "../../worker/outbox/delivery-record.ts";
import { DisabledDestinations } from "../../worker/outbox/disabled-destinations.ts";
import { createResults } from "../../worker/storage/results.ts";
import { FakeBucket } from "../fakes/bucket.ts";
import { FakeClock } from "../fakes/clock.ts";
import { createRig } from "../rig.ts";

const RECEIPT = {
  model: "m",
  engine: "e",
  promptTokens: 1,
  cachedTokens: 2,
  completionTokens: 3,
  queuedMs: 4,
  inferenceMs: 5,
  attempts: 6,
  repairs: 7,
  worker: "w",
};
const RESULT = {
  id: "a",
  kind: "prompt",
  status: "failed",
  error: { code: "c", message: "m", hint: "h" },
  receipt: RECEIPT,
};
const CALLBACK = { callback: "https://example.org/x" };
const AT = "2026-11-21T09:00:00.000Z";
const RECORD = {
  job: { id: "a", kind: "prompt" },
  destination: CALLBACK,
  since: AT,
  tries: 1,
  notBefore: AT,
  failure: { at: AT, code: "c", message: "m" },
};
const ATTEMPT = {
  at: AT,
  key: destinationKey(CALLBACK),
  to: "callback:https://example.org",
  result: "failed",
  attempt: 1,
  outcome: "failed",
  tookMs: 1,
  worker: "w",
};
const LOCK = {
  worker: "w",
  token: "t",
  beat: 1,
  holdMs: 20,
  attempts: 2,
  deaths: { beside: 1, alone: 0 },
  jobHash: "h",
};
const HEADER = { type: "kamado.delivery", version: 1 };

type Row = {
  what: string;
  key: string;
  stored: object;
  read(bucket: FakeBucket): Promise<unknown>;
  /** What `read` resolves with for `stored`. */
  means: unknown;
  /** What it resolves with for anything damaged, or the code of what it throws. */
  damaged: unknown;
};

const clock = new FakeClock();
const logOf = (bucket: FakeBucket) => createDeliveryLog({ bucket, log: silentLog });
const offOf = (bucket: FakeBucket) => new DisabledDestinations({ bucket, clock });
const OFF = { to: "callback:https://example.org", at: AT, reason: "gone" };

const ROWS: Row[] = [
  {
    what: "a result: the job runs again",
    key: "results/a.json",
    stored: RESULT,
    read: (bucket) => createResults(bucket).find("a"),
    means: RESULT,
    damaged: null,
  },
  {
    what: "a lock: nobody holds it",
    key: "running/a.json",
    stored: LOCK,
    read: async (bucket) => (await readLock(bucket, "a"))?.record ?? { holdMs: 0 },
    means: LOCK,
    damaged: expect.objectContaining({ holdMs: 0 }),
  },
  {
    what: "a delivery log: it is empty",
    key: "deliveries/a.json",
    stored: { job: "a", attempts: [ATTEMPT] },
    read: (bucket) => logOf(bucket).all("a"),
    means: [ATTEMPT],
    damaged: [],
  },
  {
    what: "a destination that is off: it stays off",
    key: `destinations/${destinationKey(CALLBACK)}.off`,
    stored: OFF,
    read: (bucket) => offOf(bucket).off(CALLBACK),
    means: OFF,
    damaged: expect.objectContaining({ reason: expect.stringContaining("damaged") }),
  },
  {
    what: "the list of destinations that are off: the others are listed",
    key: `destinations/${destinationKey(CALLBACK)}.off`,
    stored: OFF,
    read: (bucket) => offOf(bucket).all(),
    means: [{ key: destinationKey(CALLBACK), ...OFF }],
    damaged: [expect.objectContaining({ key: destinationKey(CALLBACK) })],
  },
  {
    what: "a delivery in the outbox: it is dead-lettered",
    key: "in/body",
    stored: { ...HEADER, ...RECORD, result: RESULT },
    // Stands for a message: the queue gives any text back as it was.
    read: async (bucket) => {
      const { bytes } = await bucket.get("in/body", { maxBytes: 1e9 });
      return readDeliveryRecord(new TextDecoder().decode(bytes), bucket);
    },
    means: { ...RECORD, result: RESULT },
    damaged: "invalid_envelope",
  },
  {
    what: "what the bucket carries for it: it is dead-lettered",
    key: "outbox/a/x.json",
    stored: { result: RESULT, input: { x: 1 } },
    read: (bucket) =>
      readDeliveryRecord(
        JSON.stringify({ ...HEADER, ...RECORD, carried: "s3://kamado/outbox/a/x.json", status: "failed" }),
        bucket,
      ),
    means: { ...RECORD, result: RESULT, input: { x: 1 } },
    damaged: "invalid_envelope",
  },
];

/** The value with one more field in every object that Kamado itself wrote. */
function withMore(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withMore);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([name, one]) => [name, name === "input" ? one : withMore(one)]);
  return { ...Object.fromEntries(entries), newer: { a: [1] } };
}

const JSON_TYPE = { contentType: "application/json" };
const outcomeOf = (reading: Promise<unknown>) =>
  reading.catch((thrown: unknown) => {
    if (thrown instanceof KamadoError) return thrown.code;
    throw thrown;
  });

async function readAs(text: string | Uint8Array, { key, read }: Row) {
  const bucket = new FakeBucket();
  await bucket.put(key, text, JSON_TYPE);
  return outcomeOf(read(bucket));
}

describe("what a newer version stored is read, without the fields that this one does not know", () => {
  test.each(ROWS)("$what", async (row) => {
    expect(await readAs(JSON.stringify(row.stored), row)).toEqual(row.means);
    expect(await readAs(JSON.stringify(withMore(row.stored)), row)).toEqual(row.means);
  });
});

const DAMAGES: [string, string | Uint8Array][] = [
  ["nothing", ""],
  ["half of it", '{"id":"a","kind":'],
  ["null", "null"],
  ["a number", "7"],
  ["an array", "[]"],
  ["an empty object", "{}"],
  ["fields of other types", '{"id":7,"kind":[],"token":{},"attempts":{},"to":1,"result":0,"job":null}'],
  ["bytes that are no text", Uint8Array.of(0xff, 0xfe, 0, 1)],
  ["a hundred thousand brackets", "[".repeat(100_000)],
  ["more than any is long", `"${"x".repeat(65 * 1024 * 1024)}"`],
];

describe("what is damaged has an end of its own", () => {
  for (const row of ROWS)
    test.each(DAMAGES)(`${row.what}, with %s in its place`, async (_, text) => {
      expect(await readAs(text, row)).toEqual(row.damaged);
    });
});

describe("what an older version stored is read", () => {
  test("a result whose receipt has fewer fields, or none of the right type", async () => {
    const { repairs: _, ...older } = RECEIPT;
    const read = (receipt: unknown) => readAs(JSON.stringify({ ...RESULT, receipt }), ROWS[0]!);
    expect(await read(older)).toMatchObject({ receipt: { ...older, repairs: 0 } });
    for (const receipt of [undefined, null, 7, { attempts: "many" }])
      expect(await read(receipt)).toMatchObject({ status: "failed", receipt: { model: null, attempts: 0 } });
  });

  test("a delivery log of which some tries cannot be understood: the others count", async () => {
    const attempts = [{ ...ATTEMPT, outcome: "postponed" }, ATTEMPT, null, { at: 7 }];
    expect(await readAs(JSON.stringify({ job: "a", attempts }), ROWS[2]!)).toEqual([ATTEMPT]);
  });

  test("another job's result in a job's place is not the job's", async () => {
    expect(await readAs(JSON.stringify({ ...RESULT, id: "b" }), ROWS[0]!)).toBeNull();
  });
});

test("a calibration on disk with more fields is read, and a damaged one is measured again", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kamado-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const model = join(folder, "model.gguf");
  writeFileSync(model, "GGUF");
  const subject = subjectOf({ model, backend: "node-llama-cpp" });
  const measured = {
    readings: [{ width: 1, tokensPerSecond: 2 }],
    leftOut: [],
    steady: true,
    prefillTokensPerSecond: 3,
    tookMs: 4,
  };
  const calibration = { subject, measuredAt: AT, measured };
  await writeCalibration(folder, { ...(withMore(calibration) as typeof calibration), subject });
  expect(await readCalibration(folder, subject)).toEqual(calibration);
});

test.each([
  ["object_forbidden", "storage_unavailable"],
  ["object_unreadable", "storage_unavailable"],
  ["storage_unavailable", "storage_unavailable"],
] as const)(
  "a worker that may not read its own bucket (%s) says %s: that is nobody's job's fault",
  async (code, expected) => {
    const bucket = new FakeBucket().next("get", { is: "fail", code });
    const reading = createResults(bucket).find("a");
    await expect(reading).rejects.toMatchObject({ code: expected });
  },
);

test("a job with a damaged result runs once more, replaces it, and closes nothing for others", async () => {
  const rig = createRig();
  await rig.bucket.put("results/a.json", '{"id":"a","status":', JSON_TYPE);
  await rig.send("a");
  await rig.send("b");
  rig.consumer.start();
  await rig.clock.advance(10);
  rig.run("b").finish();
  await rig.complete("a");
  expect(rig.stored("a")?.status).toBe("succeeded");
  expect(rig.runs).toHaveLength(2);
  expect(rig.queue.messages).toEqual([]);
  expect(rig.events.filter((event) => "error" in event)).toEqual([]);
  expect(rig.worker.state()).toMatchObject({ slots: 2, bucket: { answers: true } });
});
