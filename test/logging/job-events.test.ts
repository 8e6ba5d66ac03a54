// Job events: everybody who listens hears the same, and nobody who listens can harm a job.
import { describe, expect, test, vi } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import { JobEvents, outcomeWords } from "../../worker/logging/job-events.ts";
import { createLog, silentLog } from "../../worker/logging/log.ts";
import { createRig } from "../rig.ts";

const RECEIVED = { stage: "received", job: "a", message: "m", receives: 1 } as const;

test("every listener gets every event, with its time, until it unsubscribes", () => {
  const jobEvents = new JobEvents(silentLog);
  const listener = vi.fn();
  const unsubscribe = jobEvents.subscribe(listener);
  jobEvents.emit(RECEIVED, "received");
  expect(listener).toHaveBeenCalledWith({ ...RECEIVED, at: expect.any(Number) }, {});
  unsubscribe();
  jobEvents.emit(RECEIVED, "received");
  expect(listener).toHaveBeenCalledOnce();
});

test("a listener that throws is logged, and the others are called all the same", () => {
  const error = vi.fn();
  const jobEvents = new JobEvents({ ...silentLog, info: () => {}, error } as unknown as typeof silentLog);
  const listener = vi.fn();
  jobEvents.subscribe(() => {
    throw new Error("broken");
  });
  jobEvents.subscribe(listener);
  jobEvents.emit(RECEIVED, "received");
  expect(listener).toHaveBeenCalledOnce();
  expect(error).toHaveBeenCalledOnce();
});

describe("a worker", () => {
  test("with a listener that throws at every event finishes its jobs and keeps all its slots", async () => {
    const rig = createRig({ slots: 1, prefetch: 0 });
    rig.jobEvents.subscribe(() => {
      throw new Error("broken");
    });
    for (const name of ["a", "b", "c"]) await rig.send(name);
    rig.consumer.start();
    for (const name of ["a", "b", "c"]) await rig.complete(name);
    expect(["a", "b", "c"].map((name) => rig.stored(name)?.status)).toEqual(Array(3).fill("succeeded"));
    expect(rig.consumer.running).toBe(0);
    expect(rig.queue.messages).toEqual([]);
  });

  test.each(["engine_unavailable", "engine_died"] as const)(
    "whose job ends with %s asks the engine before it starts another",
    async (code) => {
      const engine = { isUp: true };
      const rig = createRig({ slots: 4, prefetch: 0, engine });
      await rig.send("a");
      rig.consumer.start();
      await rig.clock.advance(100);
      engine.isUp = false;
      rig.run("a").fail(new KamadoError(code, "gone"));
      await rig.clock.advance(30_000);
      expect(rig.health.engine.isHealthy).toBe(false);
      expect(rig.runs).toHaveLength(1);
      engine.isUp = true;
      await rig.clock.advance(30_000);
      expect(rig.runs).toHaveLength(2);
    },
  );

  test("whose job could not reach the bucket asks the bucket before it pulls another", async () => {
    const rig = createRig();
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(100);
    for (let i = 0; i < 100; i++) rig.bucket.next("put", { is: "fail" }).next("list", { is: "fail" });
    rig.run("a").finish();
    await rig.clock.advance(30_000);
    expect(rig.health.bucket.isHealthy).toBe(false);
    expect(rig.health.bucket.isDown).toBe(true);
  });

  test("whose job fails by its own fault neither asks the engine nor runs fewer jobs", async () => {
    const rig = createRig({ slots: 4 });
    await rig.send("a");
    rig.consumer.start();
    await rig.clock.advance(100);
    rig.run("a").fail(new KamadoError("invalid_input", "no"));
    await rig.clock.advance(100);
    expect(rig.health.engine.isHealthy).toBe(true);
    expect(rig.worker.state()).toMatchObject({ slots: 4, allSlots: 4 });
  });
});

test.each([
  ["succeeded", undefined, "succeeded"],
  ["rejected", "handler_broken", "failed (handler_broken)"],
  ["retry", "handler_failed", "tried again (handler_failed)"],
  ["canceled", "canceled", "canceled"],
] as const)("how a job ended is said in the words of its result: %s", (outcome, error, words) => {
  expect(outcomeWords({ outcome, ...(error && { error }) })).toBe(words);
});

test("what belongs to an event and is no log line, such as the input, goes to listeners and never to the log", () => {
  const lines: string[] = [];
  const log = createLog({ level: "debug", destination: { write: (line: string) => void lines.push(line) } });
  const jobEvents = new JobEvents(log);
  const listener = vi.fn();
  jobEvents.subscribe(listener);
  const job = { id: "a", kind: "k", input: "a private text", deliver: [], policy: {} };
  jobEvents.emit(RECEIVED, "received", { job });
  expect(listener.mock.calls[0]![1]).toEqual({ job });
  expect(lines.join("")).not.toContain("private");
  expect(lines).toHaveLength(1);
});
