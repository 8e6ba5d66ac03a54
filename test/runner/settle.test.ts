// What happens after a run, as tables.
import { describe, expect, test } from "vitest";
import { KamadoError } from "../../worker/errors.ts";
import type { Job } from "../../worker/job/envelope.ts";
import { succeeded } from "../../worker/job/result.ts";
import { settle } from "../../worker/runner/settle.ts";

describe("what happens after a run", () => {
  const job: Job = { id: "j", kind: "prompt", input: {}, deliver: [], policy: {} };
  const receipt = {
    model: null,
    engine: null,
    promptTokens: 0,
    cachedTokens: 0,
    completionTokens: 0,
    queuedMs: 0,
    inferenceMs: 0,
    attempts: 1,
    repairs: 0,
    worker: "w",
  };
  const result = succeeded("j", "prompt", { text: "hi" }, receipt);
  const options = { receiveCount: 1, maxAttempts: 5, random: () => 1 };
  const refused = new KamadoError("invalid_input", "input.x: wrong");
  const down = new KamadoError("engine_unavailable", "no answer");

  test("the first wait is as configured, and grows with each attempt", () => {
    const retry = { is: "retry", error: down } as const;
    const after = (more: object) => settle(retry, { ...options, ...more }).message;
    expect(after({})).toEqual({ releaseAfterSeconds: 5 });
    expect(after({ retryMs: 1_000 })).toEqual({ releaseAfterSeconds: 1 });
    expect(after({ retryMs: 1_000, receiveCount: 3 })).toEqual({ releaseAfterSeconds: 4 });
  });

  test("a result is stored, delivered, and only then is the message deleted", () => {
    expect(settle({ is: "succeeded", job, result, stored: false }, options)).toEqual({
      store: result,
      deliver: expect.objectContaining({ job, result }),
      deadLetter: null,
      message: "delete",
    });
  });

  test("a result from an earlier run is delivered again, not stored again", () => {
    expect(settle({ is: "succeeded", job, result, stored: true }, options)).toMatchObject({
      store: null,
      deliver: { result },
      message: "delete",
    });
  });

  test("bad input is a failed result: stored, delivered, deleted", () => {
    expect(
      settle({ is: "rejected", error: refused, about: { job, result }, keep: true }, options),
    ).toMatchObject({ store: result, deliver: { result }, deadLetter: null, message: "delete" });
  });

  test("a job whose id is taken gets a failed result, and the stored result stays", () => {
    expect(
      settle({ is: "rejected", error: refused, about: { job, result }, keep: false }, options),
    ).toMatchObject({ store: null, deliver: { result } });
  });

  test("a body that is not a job is dead-lettered with its reason", () => {
    expect(settle({ is: "rejected", error: refused }, options)).toEqual({
      store: null,
      deliver: null,
      deadLetter: refused,
      message: "delete",
    });
  });

  test("a job that may succeed later comes back, each time after a longer wait", () => {
    const seconds = [1, 2, 3].map(
      (receiveCount) => settle({ is: "retry", error: down }, { ...options, receiveCount }).message,
    );
    expect(seconds).toEqual([
      { releaseAfterSeconds: 5 },
      { releaseAfterSeconds: 10 },
      { releaseAfterSeconds: 20 },
    ]);
  });

  test("a wait that the other side asked for is kept", () => {
    expect(settle({ is: "retry", error: down, afterMs: 90_000 }, options).message).toEqual({
      releaseAfterSeconds: 90,
    });
  });

  test("after the last attempt the sender gets a failed result, and the message is dead-lettered", () => {
    const plan = settle(
      { is: "retry", error: down, about: { job, receipt: { ...receipt, attempts: 5 } } },
      options,
    );
    expect(plan).toMatchObject({
      store: { status: "failed", error: { code: "attempts_exhausted" } },
      deliver: { job },
      deadLetter: { code: "attempts_exhausted" },
      message: "delete",
    });
    expect(plan.store?.error?.message).toBe("5 attempts; the last error: engine_unavailable: no answer");
  });

  test("receives are no attempts: only a message that never led to a run is judged by them", () => {
    const started = { is: "retry", error: down, about: { job, receipt } } as const;
    expect(settle(started, { ...options, receiveCount: 50 }).message).toEqual({ releaseAfterSeconds: 5 });
    const never = settle({ is: "retry", error: down }, { ...options, receiveCount: 5 });
    expect(never.deadLetter?.message).toContain("received 5 times and never started");
    const away = new KamadoError("queue_unavailable", "no");
    expect(settle({ is: "retry", error: away }, { ...options, receiveCount: 50 }).deadLetter).toBeNull();
  });

  test("a bucket that does not answer before the run never makes a job fail", () => {
    const error = new KamadoError("storage_unavailable", "no");
    const { message, deadLetter } = settle({ is: "retry", error }, { ...options, receiveCount: 9 });
    expect([message, deadLetter]).toEqual([{ releaseAfterSeconds: 900 }, null]);
  });

  test("a job that is held apart comes back when it may be its turn", () => {
    const back = settle({ is: "interrupted", why: "held_back", afterMs: 5_000 }, options);
    expect(back.message).toEqual({ releaseAfterSeconds: 5 });
    const held = settle({ is: "interrupted", why: "held_apart", afterMs: 7_001 }, options);
    expect(held.message).toEqual({ releaseAfterSeconds: 8 });
  });

  test.each([
    ["a stop gives the message back at once", "stopping", { releaseAfterSeconds: 0 }],
    ["a lost lease leaves the message alone", "lease_lost", "leave"],
    ["a second message of a running job comes back later", "already_running", { releaseAfterSeconds: 10 }],
  ] as const)("%s", (_, why, message) => {
    expect(settle({ is: "interrupted", why }, options)).toEqual({
      store: null,
      deliver: null,
      deadLetter: null,
      message,
    });
  });
});
