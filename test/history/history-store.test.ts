// What the history says of jobs, from the events of a worker on fakes.
import type { DatabaseSync } from "node:sqlite";
import { afterEach, describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { type Entry, entryOf } from "../../worker/history/entries.ts";
import { HistoryStore } from "../../worker/history/history-store.ts";
import type { JobFilter } from "../../worker/history/job-row.ts";
import { openDatabase } from "../../worker/history/open-database.ts";
import { createRig, failing, type RigOptions } from "../rig.ts";

const LIMITS = { worker: "rig", pid: 1, maxAgeMs: 30 * 86_400_000, maxBytes: 2 ** 30 };

const open: { db: DatabaseSync; rigs: ReturnType<typeof createRig>[] } = { db: null as never, rigs: [] };
afterEach(async () => {
  for (const rig of open.rigs.splice(0)) {
    const stopped = rig.worker.stop();
    await rig.clock.advance(60_000);
    await stopped;
  }
});

function newStore(limits: Partial<typeof LIMITS> & { now?: () => number } = {}): HistoryStore {
  open.db = openDatabase(undefined, () => {}).db;
  return new HistoryStore(open.db, { ...LIMITS, ...limits });
}

/** A worker whose events go into a history. */
function watched(options: RigOptions = {}) {
  const rig = createRig(options);
  open.rigs.push(rig);
  const store = newStore();
  rig.jobEvents.subscribe((event, facts) => {
    const entry = entryOf(event, facts);
    if (entry) store.apply([entry]);
  });
  rig.worker.start();
  return { ...rig, store, stateOf: (id: string) => store.get(id)?.state };
}

const ids = (store: HistoryStore, filter: JobFilter) =>
  store.list(filter, { limit: 100 }).items.map(({ id }) => id);

describe("a job is followed through its states", () => {
  test("from running to its result, with input, output, receipt, deliveries and where its time went", async () => {
    const { send, complete, stateOf, store, clock } = watched();
    await send("a", { policy: { priority: 7 } });
    await clock.advance(10);
    expect(stateOf("a")).toBe("running");
    await complete("a");
    expect(store.get("a")).toMatchObject({
      state: "succeeded",
      kind: "work",
      input: { name: "a" },
      output: { done: "a" },
      summary: "a",
      attempts: 1,
      error: null,
      receipt: { attempts: 1, worker: "rig" },
      policy: { priority: 7 },
      deliveries: [{ outcome: "delivered", to: expect.stringContaining("kamado-results") }],
      endedAt: expect.any(Number),
    });
    const stations = store.get("a")!.stations.map(({ name }) => name);
    // To store takes less than a millisecond here, and what took no time is left out.
    expect(stations.filter((name) => name !== "store")).toEqual(["queue", "wait", "run", "deliver"]);
  });

  test("a failed attempt is retrying, with its error; the next one may succeed", async () => {
    const { send, run, stateOf, store, clock } = watched();
    await send("a");
    await clock.advance(10);
    run("a").fail(new KamadoError("engine_busy", "no room"));
    await clock.advance(100);
    expect(stateOf("a")).toBe("retrying");
    expect(store.get("a")!.error).toMatchObject({ code: "engine_busy", message: "no room" });
    await clock.advance(20_000);
    run("a").finish();
    await clock.advance(1_000);
    expect(store.get("a")).toMatchObject({ state: "succeeded", attempts: 2, error: null });
    expect(store.get("a")!.stations.filter(({ name }) => name === "run")).toHaveLength(2);
  });

  test("a job that is given up failed and is dead-lettered, with what to do about it", async () => {
    const { send, run, store, clock } = watched({ maxAttempts: 1 });
    await send("a");
    await clock.advance(10);
    run("a").fail(new KamadoError("engine_busy", "no room"));
    await clock.advance(1_000);
    expect(store.get("a")).toMatchObject({
      state: "failed",
      isDeadLettered: true,
      error: { code: "attempts_exhausted", hint: expect.any(String) },
    });
  });

  test("a body that is no job is listed by its message, failed and dead-lettered", async () => {
    const { queue, store, clock } = watched();
    await queue.send("no json");
    await clock.advance(1_000);
    expect(store.list({}, { limit: 10 }).items).toMatchObject([
      { kind: "unknown", state: "failed", isDeadLettered: true, error: { code: "malformed_json" } },
    ]);
  });

  test("a delivery that fails is kept with its try, and the job has succeeded", async () => {
    let error: KamadoError | null = new KamadoError("delivery_failed", "no answer");
    const { send, complete, store, outboxConsumer, clock } = watched({ deliver: failing(() => error) });
    await send("a");
    await complete("a");
    expect(store.get("a")).toMatchObject({ state: "succeeded", deliveries: [{ outcome: "failed" }] });
    error = null;
    outboxConsumer.start();
    await clock.advance(60_000);
    expect(store.get("a")!.deliveries.map(({ outcome }) => outcome)).toEqual(["failed", "delivered"]);
    expect(store.destinations()).toMatchObject([{ delivered: 1, failed: 1 }]);
  });

  test("what another job under the same id meets is not told of the first one", async () => {
    const { send, complete, store, clock } = watched();
    await send("a");
    await complete("a");
    const before = store.get("a");
    await send("a", { input: { name: "other" } });
    await clock.advance(1_000);
    // That its receiver was told belongs to the delivery log of the id.
    expect({ ...store.get("a"), deliveries: null }).toEqual({ ...before, deliveries: null });
  });

  test("the same job received again, as queues do, keeps its end", async () => {
    const { send, complete, store, clock } = watched();
    await send("a");
    await complete("a");
    const { endedAt, stations } = store.get("a")!;
    await send("a");
    await clock.advance(5_000);
    expect(store.get("a")).toMatchObject({ state: "succeeded", endedAt, stations });
  });

  test("jobs that ran when their worker ended are retrying after its next start, and no others", async () => {
    const { send, store, stateOf, complete, clock } = watched();
    await send("a");
    await complete("a");
    await send("b");
    await clock.advance(10);
    expect(store.markInterrupted(() => true)).toBe(1);
    expect([stateOf("a"), stateOf("b")]).toEqual(["succeeded", "retrying"]);
    const other = new HistoryStore(open.db, { ...LIMITS, pid: 2 });
    await send("c");
    await clock.advance(10);
    expect(
      other.markInterrupted(() => true),
      "another process of that name lives",
    ).toBe(0);
    expect(other.markInterrupted(() => false)).toBe(1);
  });
});

const received = (id: string, at: number, more: object = {}): Entry =>
  entryOf(
    { stage: "received", job: id, kind: "k", message: "m", receives: 1, at },
    {
      job: { id, kind: "k", input: { text: id }, deliver: [], policy: {}, ...more } as never,
      message: { sentAt: at, receivedAt: at, group: null },
    },
  )!;

describe("lists", () => {
  test("the latest first, page by page, with no job twice or left out while others come", () => {
    const store = newStore();
    store.apply(Array.from({ length: 25 }, (_, at) => received(`job-${at}`, 1_000 + Math.floor(at / 3))));
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = store.list({}, { limit: 10, cursor });
      seen.push(...page.items.map(({ id }) => id));
      cursor = page.next ?? undefined;
      store.apply([received(`new-${seen.length}`, 5_000)]);
    } while (cursor);
    expect(seen).toEqual(Array.from({ length: 25 }, (_, at) => `job-${24 - at}`));
  });

  test.each([
    ["words of two letters in Japanese", { text: "施錠" }, ["door"]],
    ["all of the words, in any case and width", { text: "ＫＥＹ ドア" }, ["door"]],
    ["a part of the id", { text: "oo" }, ["door"]],
    ["what a pattern would match, as it stands", { text: "%" }, ["milk"]],
    ["a tenant", { tenant: "home" }, ["milk"]],
    ["a time", { since: 2_000, until: 3_000 }, ["milk"]],
    ["states", { states: ["waiting"] as const }, ["milk", "door"]],
    ["states of none", { states: ["failed"] as const }, []],
    ["a kind of none", { kind: "other" }, []],
  ])("are found by %s", (_, filter, found) => {
    const store = newStore();
    store.apply([
      received("door", 1_000, { input: { question: "ドアは施錠されていますか", note: "Key" } }),
      received("milk", 2_000, { input: "100% milk", policy: { tenant: "home" } }),
    ]);
    expect(ids(store, filter)).toEqual(found);
  });

  test("a cursor that is none is refused", () => {
    expect(() => newStore().list({}, { limit: 1, cursor: "x" })).toThrow("cursor");
  });
});

describe("figures", () => {
  test("say how many jobs ended in each step, their tokens, and how many slots were busy on average", () => {
    const store = newStore({ now: () => 10_000 });
    const receipt = { promptTokens: 10, completionTokens: 5, attempts: 1, runMs: 1_500, model: "m" };
    const end = (id: string, at: number, status: string): Entry[] => [
      received(id, at - 2_000),
      { is: "started", at: at - 1_500, id, attempt: 1 },
      entryOf(
        { stage: "ended", job: id, kind: "k", outcome: "succeeded", ending: "delete", at },
        { result: { id, kind: "k", status, receipt } as never },
      )!,
    ];
    store.apply([...end("a", 2_500, "succeeded"), ...end("b", 3_000, "failed")]);
    expect(store.counts({ since: 1_000, stepMs: 1_000, steps: 3 })).toEqual({
      since: 1_000,
      stepMs: 1_000,
      succeeded: [0, 1, 0],
      failed: [0, 0, 1],
      promptTokens: [0, 10, 10],
      completionTokens: [0, 5, 5],
      busy: [1.5, 1.5, 0],
    });
    expect(store.stats(0)).toMatchObject({
      succeeded: 1,
      failed: 1,
      promptTokens: 20,
      runMs: { p50: 1_500, p95: 1_500, p99: 1_500 },
      totalMs: { p50: 2_000 },
    });
    expect(store.usualRunMs()).toBe(1_500);
  });
});

describe("bounds", () => {
  test("jobs older than the limit are removed with all that belongs to them", () => {
    const store = newStore({ maxAgeMs: 1_000, now: () => 3_500 });
    store.apply([received("old", 1_000), received("new", 3_000)]);
    expect(store.prune()).toBe(1);
    expect(ids(store, {})).toEqual(["new"]);
    expect(open.db.prepare("SELECT count(*) AS n FROM bodies").get()).toEqual({ n: 1 });
  });

  test("above its size the oldest jobs go", () => {
    const store = newStore({ maxBytes: 2 ** 20, now: () => 10_000 });
    const input = "x".repeat(1_000);
    for (let at = 0; at < 2_000; at += 100)
      store.apply(Array.from({ length: 100 }, (_, one) => received(`j${at + one}`, at + one, { input })));
    expect(store.prune()).toBeGreaterThan(500);
    expect(ids(store, {})[0]).toBe("j1999");
  });

  test("an input or output that is too long is left out, which the job says; the rest is kept and found", () => {
    const store = newStore();
    store.apply([received("long", 1_000, { input: { word: "needle", text: "x".repeat(400_000) } })]);
    expect(store.get("long")).toMatchObject({
      input: undefined,
      inputNote: expect.stringContaining("256 KB"),
    });
    expect(ids(store, { text: "needle" })).toEqual(["long"]);
  });

  test("on a full disk a batch is refused as a whole, and later ones are written once there is room", () => {
    const store = newStore();
    const many = Array.from({ length: 100 }, (_, at) =>
      received(`j${at}`, at, { input: "x".repeat(10_000) }),
    );
    const { page_count: pages } = open.db.prepare("PRAGMA page_count").get() as { page_count: number };
    open.db.exec(`PRAGMA max_page_count = ${pages + 20}`);
    expect(() => store.apply(many)).toThrow("full");
    expect(ids(store, {})).toEqual([]);
    open.db.exec("PRAGMA max_page_count = 1000000");
    expect(store.apply(many)).toHaveLength(100);
  });

  test("a job that is tried for ever keeps a limited number of moments and tries", () => {
    const store = newStore();
    store.apply([received("a", 1_000)]);
    const delivery = { at: "", key: "k", to: "t", attempt: 1, outcome: "failed", tookMs: 1 } as const;
    for (let attempt = 1; attempt < 300; attempt++)
      store.apply([
        { is: "started", at: 1_000 + attempt, id: "a", attempt },
        { is: "delivery", at: 1_000 + attempt, id: "a", delivery },
      ]);
    const job = store.get("a")!;
    expect([job.attempts, job.deliveries.length]).toEqual([299, 200]);
    expect(job.stations.length).toBeLessThanOrEqual(200);
  });
});
