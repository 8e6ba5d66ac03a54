// What a job has found out so far, and who finds it again.
import { describe, expect, test } from "vitest";
import type { Job } from "../../worker/job/envelope.ts";
import { createCheckpoints } from "../../worker/storage/checkpoints.ts";
import { FakeBucket } from "../fakes/bucket.ts";
import { FakeClock } from "../fakes/clock.ts";
import { createRig, type RigOptions } from "../rig.ts";

const DAY = 86_400_000;
const JSON_TYPE = { contentType: "application/json" };

const jobOf = (id: string, input: unknown = { question: "why" }): Job => ({
  id,
  kind: "knowledge.research",
  input,
  deliver: [],
  policy: {},
});

function setUp() {
  const clock = new FakeClock();
  const bucket = new FakeBucket({ clock });
  const said: string[] = [];
  const log = { debug: () => {}, warn: (_: object, text: string) => void said.push(text) };
  /** As another process would have them. */
  const open = () => createCheckpoints({ bucket, clock, log });
  const { signal } = new AbortController();
  return { clock, bucket, said, open, of: (job = jobOf("a")) => open().of(job, signal), signal };
}

const keysOf = (bucket: FakeBucket) =>
  [...bucket.objects.keys()]
    .map((address) => address.replace("s3://kamado/", ""))
    .filter((key) => key.startsWith("checkpoints/"));

describe("what a run puts", () => {
  test("another run of the same job finds, on whichever worker", async () => {
    const { of, bucket } = setUp();
    await of().put("page-1", { text: "竈", claims: [1, null] });
    expect(await of().get("page-1")).toEqual({ text: "竈", claims: [1, null] });
    expect(await of().get("page-2")).toBeUndefined();
    expect(keysOf(bucket)).toEqual(["checkpoints/a/page-1.json"]);
  });

  test("no other job finds, whether it has another id or the same one", async () => {
    const { of } = setUp();
    await of().put("page", "ours");
    expect(await of(jobOf("b")).get("page")).toBeUndefined();
    expect(await of(jobOf("a", { question: "who" })).get("page")).toBeUndefined();
    expect(await of({ ...jobOf("a"), kind: "prompt" }).get("page")).toBeUndefined();
    expect(await of().get("page")).toBe("ours");
  });

  test.each([
    "../../results/a",
    "..",
    ".",
    "",
    "a/b",
    "/a",
    "https://example.org/?q=1#2",
    "竈",
    "a b",
    "\u0000",
    "x".repeat(3_000),
    `sha256-${"0".repeat(64)}`,
  ])("stays in the folder of its job, whatever its name: %j", async (name) => {
    const { of, bucket } = setUp();
    await of().put(name, 1);
    expect(await of().get(name)).toBe(1);
    expect(keysOf(bucket)).toEqual([
      expect.stringMatching(/^checkpoints\/a\/[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.json$/),
    ]);
  });

  test("is not found any more when it is older than a week", async () => {
    const { of, clock } = setUp();
    await of().put("page", 1);
    await clock.advance(7 * DAY);
    expect(await of().get("page")).toBe(1);
    await clock.advance(1_000);
    expect(await of().get("page")).toBeUndefined();
  });

  test("is removed after a week even if its job never ends, by a worker that goes on", async () => {
    const { open, bucket, clock, signal } = setUp();
    const checkpoints = open();
    await checkpoints.of(jobOf("lost"), signal).put("page", 1);
    for (let day = 1; day <= 7; day++) {
      await clock.advance(DAY);
      checkpoints.of(jobOf("other"), signal);
      await clock.advance(0);
      expect(keysOf(bucket)).toHaveLength(1);
    }
    await clock.advance(DAY);
    checkpoints.of(jobOf("other"), signal);
    await clock.advance(0);
    expect(keysOf(bucket)).toEqual([]);
    expect(bucket.calls.list).toBe(9);
  });

  test("that is too long is not kept, which the log says, and the job goes on", async () => {
    const { of, bucket, said } = setUp();
    await of().put("page", "x".repeat(9 * 1024 * 1024));
    expect(keysOf(bucket)).toEqual([]);
    expect(said).toEqual([expect.stringContaining("the checkpoint page is not kept: it has 9437")]);
  });

  test("without end does not fill the bucket", async () => {
    const { of, bucket, said } = setUp();
    const checkpoints = of();
    for (let nth = 0; nth < 10_050; nth++) await checkpoints.put(`${nth % 3}`, nth);
    expect(bucket.calls.put).toBe(10_000);
    expect(said).toEqual([expect.stringContaining("no more checkpoints of this run are kept")]);
  });

  test("after it has ended is not written", async () => {
    const { open, bucket } = setUp();
    const ended = new AbortController();
    const checkpoints = open().of(jobOf("a"), ended.signal);
    ended.abort(new Error("ended"));
    await expect(checkpoints.put("page", 1)).rejects.toThrow("ended");
    expect(keysOf(bucket)).toEqual([]);
  });
});

describe("a stored one that is", () => {
  test.each([
    ["no JSON", "{"],
    ["empty", ""],
    ["a list", "[1]"],
    ["without the job's hash", '{"value":1}'],
    ["of another form", '"x"'],
  ])("%s counts as none", async (_, text) => {
    const { of, bucket } = setUp();
    await bucket.put("checkpoints/a/page.json", text, JSON_TYPE);
    expect(await of().get("page")).toBeUndefined();
  });

  test("written by a newer version, with more fields, is found", async () => {
    const { of, bucket } = setUp();
    await of().put("page", 1);
    const [stored] = bucket.objects.values();
    const newer = { ...JSON.parse(Buffer.from(stored!.bytes).toString()), at: "2030-01-01" };
    await bucket.put("checkpoints/a/page.json", JSON.stringify(newer), JSON_TYPE);
    expect(await of().get("page")).toBe(1);
  });
});

test.each([
  ["object_forbidden", "may not"],
  ["storage_unavailable", "the fake bucket fails"],
] as const)("a bucket that answers %s is storage_unavailable, and the job comes back", async (code, why) => {
  const { of, bucket } = setUp();
  bucket.next("get", { is: "fail", code }).next("put", { is: "fail", code });
  const error = { code: "storage_unavailable", message: expect.stringContaining(why) };
  await expect(of().get("page")).rejects.toMatchObject(error);
  await expect(of().put("page", 1)).rejects.toMatchObject(error);
});

describe("with the job", () => {
  const SECOND = 1_000;
  async function begun(options: RigOptions = {}) {
    const rig = createRig({ slots: 1, ...options });
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(SECOND);
    return rig;
  }

  test("they are there for the next attempt, and gone with the result", async () => {
    const rig = await begun();
    await rig.run("a").checkpoints.put("page", 1);
    rig.run("a").fail(new Error("once"));
    await rig.clock.advance(20 * SECOND);
    expect(await rig.run("a").checkpoints.get("page")).toBe(1);
    await rig.complete("a");
    expect(rig.stored("a")).toMatchObject({ status: "succeeded" });
    expect(keysOf(rig.bucket)).toEqual([]);
  });

  test("a stop leaves them to the worker that takes the job up, which removes them with the result", async () => {
    const first = await begun();
    await first.run("a").checkpoints.put("page", 1);
    const stopped = first.worker.stop();
    await first.clock.advance(60 * SECOND);
    await stopped;
    expect(keysOf(first.bucket)).toHaveLength(1);
    const { clock, queue, bucket, dead } = first;
    const next = createRig({ shared: { clock, queue, bucket, dead } });
    next.consumer.start();
    await clock.advance(60 * SECOND);
    expect(await next.run("a").checkpoints.get("page")).toBe(1);
    await next.run("a").checkpoints.put("page-2", 2);
    await next.complete("a");
    expect(keysOf(bucket)).toEqual([]);
  });

  test("a job that fails in every attempt keeps them for `kamado dead redrive`", async () => {
    const rig = await begun({ maxAttempts: 1 });
    await rig.run("a").checkpoints.put("page", 1);
    rig.run("a").fail(new Error("always"));
    await rig.clock.advance(SECOND);
    expect(rig.dead.messages).toHaveLength(1);
    expect(keysOf(rig.bucket)).toHaveLength(1);
  });

  test("a job that is sent with the id of another removes none of them", async () => {
    const rig = await begun({ slots: 2 });
    await rig.run("a").checkpoints.put("page", 1);
    await rig.send("a", { input: { name: "other" } });
    await rig.clock.advance(20 * SECOND);
    expect(keysOf(rig.bucket)).toHaveLength(1);
  });

  test("a job without any costs no call to the bucket", async () => {
    const rig = await begun();
    const { list } = rig.bucket.calls;
    await rig.complete("a");
    expect(rig.bucket.calls.list).toBe(list);
  });

  test("a bucket that does not let them go fails no job", async () => {
    const rig = await begun();
    await rig.run("a").checkpoints.put("page", 1);
    rig.bucket.next("list", { is: "fail" });
    await rig.complete("a");
    expect(rig.stored("a")).toMatchObject({ status: "succeeded" });
  });
});
