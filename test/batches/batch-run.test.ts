// The life of a batch: every line has one result, whatever happens to the worker meanwhile.
import { randomBytes } from "node:crypto";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, describe, expect, test } from "vitest";
import { chat, idsOf, Rig } from "./rig.ts";

const rigs: Rig[] = [];
afterEach(async () => {
  for (const rig of rigs.splice(0)) await rig.close();
});

function newRig(more: Partial<Pick<Rig, "answer" | "isFifo">> = {}): Rig {
  const rig = Object.assign(new Rig(), more);
  rigs.push(rig);
  return rig;
}

const names = (count: number) =>
  Array.from({ length: count }, (_, at) => `line-${String(at).padStart(4, "0")}`);

describe("a batch", () => {
  test("runs every line as a job of its own, and gives each its answer under its custom_id", async () => {
    const rig = newRig();
    const started = await rig.start(
      names(3).map((name) => chat(name)),
      { metadata: { night: "1" } },
    );
    expect(started).toMatchObject({ status: "validating", metadata: { night: "1" }, output_file_id: null });
    const batch = await rig.until(started.id, "completed");
    expect(batch).toMatchObject({
      request_counts: { total: 3, completed: 3, failed: 0 },
      model: "small",
      error_file_id: null,
      errors: null,
    });
    for (const time of ["in_progress_at", "finalizing_at", "completed_at", "expires_at"] as const)
      expect(batch[time]).toEqual(expect.any(Number));
    const { output } = await rig.outcome(batch);
    expect(output.toSorted((a, b) => (a.custom_id < b.custom_id ? -1 : 1))[1]).toEqual({
      id: expect.stringMatching(/^batch_req_/),
      custom_id: "line-0001",
      response: {
        status_code: 200,
        request_id: `${batch.id}-000000002`,
        body: { object: "chat.completion", choices: [{ message: { content: "line-0001" } }] },
      },
      error: null,
    });
  });

  test("goes behind single jobs, in a group of its own where groups do not mean an order", async () => {
    for (const isFifo of [false, true]) {
      const rig = newRig();
      rig.isFifo = isFifo;
      await rig.restart();
      const jobs: object[] = [];
      rig.answer = (_, job) => {
        jobs.push(job);
        return { status: "succeeded", output: {} };
      };
      const { id } = await rig.start([chat("a")]);
      const { expires_at } = await rig.until(id, "completed");
      const expiresAt = new Date(expires_at! * 1_000).toISOString();
      expect(jobs).toEqual([
        {
          id: `${id}-000000001`,
          kind: "openai.request",
          input: { url: "/v1/chat/completions", body: chat("a").body },
          policy: { priority: 2, expiresAt },
          ...(!isFifo && { group: id }),
        },
      ]);
    }
  });

  test("puts a bounded number of lines on the queue, more where they run fast", async () => {
    const rig = newRig();
    const { id } = await rig.start(names(1_200).map((name) => chat(name)));
    const running = rig.until(id, "completed");
    await running;
    expect(rig.most).toBeGreaterThan(32);
    expect(rig.most).toBeLessThanOrEqual(512);
    expect([...rig.sends.values()].every((sends) => sends === 1)).toBe(true);
  });

  test("whose requests are refused, or fail, says so in its error file", async () => {
    const errors: Record<string, { code: string; message: string }> = {
      long: { code: "context_length_exceeded", message: "too long" },
      dead: { code: "attempts_exhausted", message: "5 attempts" },
      slow: { code: "timed_out", message: "It ran longer than 600 seconds." },
      new: { code: "from_a_newer_version", message: "?" },
    };
    const rig = newRig();
    rig.answer = ({ messages }) => {
      const error = errors[(messages as [{ content: string }])[0].content];
      return error ? { status: "failed", error } : { status: "succeeded", output: {} };
    };
    const { id } = await rig.start(["good", ...Object.keys(errors)].map((name) => chat(name)));
    const batch = await rig.until(id, "completed");
    expect(batch.request_counts).toEqual({ total: 5, completed: 1, failed: 4 });
    const { error } = await rig.outcome(batch);
    const said = Object.fromEntries(error.map((line) => [line.custom_id, line.response ?? line.error]));
    expect(said).toEqual({
      long: {
        status_code: 400,
        request_id: expect.any(String),
        body: {
          error: {
            ...{ message: "too long", type: "invalid_request_error", code: "context_length_exceeded" },
            param: null,
          },
        },
      },
      dead: errors.dead,
      slow: errors.slow,
      new: errors.new,
    });
  });

  test("a job that was lost without a result is a failed line", async () => {
    const rig = newRig();
    const { id } = await rig.start([chat("a"), chat("b")]);
    await rig.untilWaiting(2);
    rig.deadLetter(rig.waiting.shift()!);
    const batch = await rig.until(id, "completed");
    expect((await rig.outcome(batch)).error).toMatchObject([
      { custom_id: "a", response: null, error: { code: "attempts_exhausted" } },
    ]);
  });

  test("finds the results of other workers, of whom it hears nothing", async () => {
    const rig = newRig();
    const { id } = await rig.start(names(150).map((name) => chat(name)));
    for (;;) {
      await rig.work(Infinity, { elsewhere: true });
      const batch = await rig.client.batches.retrieve(id);
      if (batch.status !== "completed") {
        await rig.clock.sleep(1_000);
        continue;
      }
      expect(idsOf(await rig.outcome(batch))).toEqual(names(150));
      break;
    }
  });

  test("a queue or a bucket that is away for a while costs no line", async () => {
    const rig = newRig();
    rig.failSends = ["queue_unavailable", "queue_unavailable", "queue_unavailable"];
    const { id } = await rig.start(names(40).map((name) => chat(name)));
    await rig.untilWaiting(32);
    await rig.work(32, { elsewhere: true });
    rig.bucket.next("list", { is: "fail" }).next("get", { is: "fail" });
    while (rig.waiting.length === 0) await rig.clock.sleep(1_000);
    expect(idsOf(await rig.outcome(await rig.until(id, "completed")))).toEqual(names(40));
  });

  test("a result that is damaged counts as none: its job is sent again", async () => {
    const rig = newRig();
    const { id } = await rig.start([chat("a"), chat("b")]);
    await rig.untilWaiting(2);
    const job = `${id}-000000001`;
    rig.waiting.shift();
    await rig.bucket.put(`results/${job}.json`, "{", { contentType: "application/json" });
    expect(idsOf(await rig.outcome(await rig.until(id, "completed")))).toEqual(["a", "b"]);
    expect(rig.sends.get(job)).toBeGreaterThan(1);
  });

  test("adds up the tokens of its answers", async () => {
    const rig = newRig();
    const usage = {
      ...{ prompt_tokens: 10, completion_tokens: 4, total_tokens: 14 },
      prompt_tokens_details: { cached_tokens: 8 },
      completion_tokens_details: { reasoning_tokens: 2 },
    };
    const outputs = [{ usage }, { usage: { prompt_tokens: 1, completion_tokens: 2 } }, { usage: "none" }, {}];
    rig.answer = () => ({ status: "succeeded", output: outputs.pop() });
    const { id } = await rig.start(names(4).map((name) => chat(name)));
    expect((await rig.until(id, "completed")).usage).toEqual({
      input_tokens: 11,
      input_tokens_details: { cached_tokens: 8 },
      output_tokens: 6,
      output_tokens_details: { reasoning_tokens: 2 },
      total_tokens: 17,
    });
  });

  test("a line that the queue will never take is a failed line", async () => {
    const rig = newRig();
    rig.failSends = ["message_rejected"];
    const { id } = await rig.start([chat("a")]);
    const { error } = await rig.outcome(await rig.until(id, "completed"));
    expect(error).toMatchObject([{ custom_id: "a", response: { status_code: 400 } }]);
  });
});

describe("a batch that is cancelled", () => {
  test("keeps what has ended, and says of the rest that it was cancelled", async () => {
    const rig = newRig();
    const { id } = await rig.start(names(100).map((name) => chat(name)));
    await rig.untilWaiting(32);
    await rig.work(10);
    const cancelling = await rig.client.batches.cancel(id);
    expect(cancelling).toMatchObject({ status: "cancelling", cancelling_at: expect.any(Number) });
    const batch = await rig.until(id, "cancelled", { works: false });
    const { output, error } = await rig.outcome(batch);
    expect(idsOf({ output, error })).toEqual(names(100));
    expect(output.map((line) => line.custom_id).toSorted()).toEqual(names(10));
    expect(new Set(error.map((line) => line.error.code))).toEqual(new Set(["batch_cancelled"]));
    expect(batch.request_counts).toEqual({ total: 100, completed: 10, failed: 90 });
    expect(rig.sends.size).toBeLessThan(100);
  });

  test("waits a while for what runs: it may still have ended well", async () => {
    const rig = newRig();
    const { id } = await rig.start(names(3).map((name) => chat(name)));
    await rig.untilWaiting(3);
    for (const { job } of rig.waiting.slice(0, 2)) rig.running.add(job.id!);
    await rig.client.batches.cancel(id);
    while (!rig.waiting[1]!.isCanceled) await rig.clock.sleep(1_000);
    // The first ends well in the last moment, the second never.
    rig.waiting[0]!.isCanceled = false;
    await rig.work(1);
    const batch = await rig.until(id, "cancelled", { works: false });
    const { output, error } = await rig.outcome(batch);
    expect([output, error].map((lines) => lines.map((line) => line.custom_id))).toEqual([
      ["line-0000"],
      ["line-0001", "line-0002"],
    ]);
    // What comes later changes nothing.
    await rig.work();
    expect(await rig.outcome(await rig.client.batches.retrieve(id))).toEqual({ output, error });
  });

  test("before its validation has ended runs nothing", async () => {
    const rig = newRig();
    const { id } = await rig.start(names(2_000).map((name) => chat(name)));
    await rig.client.batches.cancel(id);
    const batch = await rig.until(id, "cancelled", { works: false });
    expect(batch).toMatchObject({ output_file_id: null, error_file_id: null, request_counts: { total: 0 } });
    expect(rig.sends.size).toBe(0);
  });

  test("that has ended cannot be cancelled", async () => {
    const rig = newRig();
    const { id } = await rig.start([chat("a")]);
    await rig.until(id, "completed");
    await expect(rig.client.batches.cancel(id)).rejects.toMatchObject({
      status: 409,
      error: { message: "Cannot cancel a batch with status 'completed'.", type: "invalid_request_error" },
    });
  });
});

test("a batch whose window ends gives what there is, and says of the rest that it expired", async () => {
  const rig = newRig();
  const { id } = await rig.start(
    names(50).map((name) => chat(name)),
    { completion_window: "1h" },
  );
  await rig.untilWaiting(32);
  await rig.work(5);
  rig.clock.jump(3_600_000);
  await rig.restart();
  const batch = await rig.until(id, "expired", { works: false });
  const { output, error } = await rig.outcome(batch);
  expect([output.length, error.length]).toEqual([5, 45]);
  expect(new Set(error.map((line) => line.error.code))).toEqual(new Set(["batch_expired"]));
  expect(batch.expired_at).toBeGreaterThanOrEqual(batch.expires_at!);
});

test("a batch that was stopped goes on with the next start", async () => {
  const rig = newRig();
  const { id } = await rig.start(names(100).map((name) => chat(name)));
  await rig.untilWaiting(32);
  await rig.work(7);
  await rig.restart();
  const batch = await rig.until(id, "completed");
  expect(idsOf(await rig.outcome(batch))).toEqual(names(100));
});

test("what was written and not counted before a kill is not written twice", async () => {
  const rig = newRig();
  const { id } = await rig.start(names(3).map((name) => chat(name)));
  await rig.untilWaiting(3);
  const { promise: written, resolve } = Promise.withResolvers<void>();
  rig.batches.opened.store.settle = () => {
    resolve();
    throw new Error("killed here");
  };
  await rig.work(2);
  await written;
  await rig.crash();
  const batch = await rig.until(id, "completed");
  expect(idsOf(await rig.outcome(batch))).toEqual(names(3));
});

test("a list that is damaged is set aside, and another begins", async () => {
  const rig = newRig();
  await rig.until((await rig.start([chat("a")])).id, "completed");
  await rig.batches.stop();
  const path = join(rig.folder, "batches.sqlite");
  writeFileSync(path, randomBytes(8_192));
  await rig.restart();
  expect((await rig.client.batches.list()).data).toEqual([]);
  const kept = readdirSync(rig.folder).filter((name) => name.includes(".damaged-"));
  expect(kept.map((name) => name.replace(/[\dTZ-]+$/, "-")).toSorted()).toEqual([
    "batches.sqlite.damaged-",
    "files.damaged-",
  ]);
  await rig.until((await rig.start([chat("b")])).id, "completed");
});

test("a folder that another worker uses is waited for, and requests hear why", async () => {
  const rig = newRig();
  const other = rig.again();
  await expect(other.client.batches.list()).rejects.toMatchObject({
    status: 503,
    error: { code: "storage_unavailable", message: expect.stringContaining("database is locked") },
  });
  await rig.batches.stop();
  while ((await other.client.batches.list().catch(() => null)) === null) await rig.clock.sleep(1_000);
  await other.batches.stop();
});

test("whenever the worker is killed, each custom_id comes once", { timeout: 120_000 }, async () => {
  const steps = fc.array(
    fc.oneof(
      fc.record({ is: fc.constant("work" as const), jobs: fc.nat(40), elsewhere: fc.boolean() }),
      fc.record({ is: fc.constant("wait" as const), ms: fc.nat(12) }),
      fc.record({ is: fc.constant("crash" as const) }),
      fc.record({ is: fc.constant("again" as const) }),
    ),
    { maxLength: 14 },
  );
  await fc.assert(
    fc.asyncProperty(steps, fc.integer({ min: 1, max: 90 }), fc.nat(6), async (plan, count, failing) => {
      const rig = newRig();
      rig.answer = ({ messages }) => {
        const content = (messages as [{ content: string }])[0].content;
        const isBad = Number(content.slice(-1)) < failing;
        return isBad
          ? { status: "failed", error: { code: "answer_invalid", message: "?" } }
          : { status: "succeeded", output: { content } };
      };
      const { id } = await rig.start(names(count).map((name) => chat(name)));
      for (const step of plan) {
        if (step.is === "work") await rig.work(step.jobs, step);
        if (step.is === "wait") await rig.clock.sleep(step.ms * 1_000);
        if (step.is === "crash") await rig.crash();
        // SQS may give a message twice.
        if (step.is === "again" && rig.waiting[0]) rig.waiting.push({ ...rig.waiting[0] });
      }
      const batch = await rig.until(id, "completed");
      const { output, error } = await rig.outcome(batch);
      expect(idsOf({ output, error })).toEqual(names(count));
      expect(batch.request_counts).toEqual({ total: count, completed: output.length, failed: error.length });
      for (const line of output) expect(line.response.body).toEqual({ content: line.custom_id });
      await rig.close();
      rigs.splice(rigs.indexOf(rig), 1);
    }),
    { numRuns: 40 },
  );
});
