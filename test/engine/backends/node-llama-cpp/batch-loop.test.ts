import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { planStep } from "../../../../worker/engine/backends/node-llama-cpp/batch-loop.ts";
import { generationOf } from "../../../../worker/engine/sizing/window.ts";
import fc from "../../../properties.ts";
import { until, user } from "../../running.ts";
import { type TinyEngine, tinyEngine } from "../../tiny-model.ts";

let engine: TinyEngine;
let decodes = 0;
beforeAll(async () => {
  engine = await tinyEngine({ slots: 4 });
  // The library's own call into llama.cpp, counted where it leaves for native code.
  const native = (engine.backend.context as unknown as { _ctx: { decodeBatch(): Promise<void> } })._ctx;
  const decodeBatch = native.decodeBatch.bind(native);
  const counted = () => {
    decodes++;
    return decodeBatch();
  };
  Object.defineProperty(native, "decodeBatch", { value: counted });
}, 120_000);
afterAll(() => engine.close());

const ask = async (content: string, more: object = {}) => {
  const answer = await engine.client.chat.completions.create({
    model: "random-tiny",
    messages: user(content),
    temperature: 0,
    max_tokens: 24,
    ...more,
  });
  const { message, finish_reason } = answer.choices[0]!;
  return { text: message.content!, finish: finish_reason, usage: answer.usage! };
};
const PROMPTS = ["one", "two and some more", "three", "four is the longest of them all by far"];

/** Until the end of the test a request waits for so many at the door: how far apart they arrive is the machine's affair. */
function letInTogether(count: number): void {
  const { backend } = engine;
  const prepare = backend.prepare.bind(backend);
  const door = Promise.withResolvers<void>();
  let waiting = 0;
  backend.prepare = async (generation) => {
    const prepared = await prepare(generation);
    const run: typeof prepared.run = async (emit, signal) => {
      if (++waiting === count) door.resolve();
      await door.promise;
      return prepared.run(emit, signal);
    };
    return { ...prepared, run };
  };
  onTestFinished(() => {
    backend.prepare = prepare;
  });
}

describe("several requests at once", { timeout: 120_000 }, () => {
  test("move in one batch, one llama_decode a step", async () => {
    letInTogether(PROMPTS.length);
    const [decodesBefore, stepsBefore] = [decodes, engine.backend.batchLoop.steps];
    await Promise.all(PROMPTS.map((prompt) => ask(prompt)));
    const [decoded, steps] = [decodes - decodesBefore, engine.backend.batchLoop.steps - stepsBefore];
    expect(decoded).toBe(steps);
    // One by one they would take 4 x 24.
    expect(steps).toBeLessThan(24 + 4 + PROMPTS.length);
  });

  test.each([
    { temperature: 0 },
    { temperature: 1, seed: 5 },
    { temperature: 0.7, top_p: 0.9, top_k: 40, seed: 6 },
  ])("answer what each would answer alone: %o", async (how) => {
    const alone: string[] = [];
    for (const prompt of PROMPTS) alone.push((await ask(prompt, how)).text);
    const together = await Promise.all(PROMPTS.map((prompt) => ask(prompt, how)));
    expect(together.map(({ text }) => text)).toEqual(alone);
  });

  test("a late one joins those that run and need not wait for them", async () => {
    const stream = await engine.client.chat.completions.create({
      model: "random-tiny",
      messages: user("a long one"),
      temperature: 0,
      max_tokens: 200,
      stream: true,
    });
    let pieces = 0;
    let lateAfter = 0;
    let late: Promise<void> | undefined;
    for await (const _ of stream) {
      pieces++;
      late ??= ask("a late one", { max_tokens: 3 }).then(() => {
        lateAfter = pieces;
      });
    }
    await late;
    expect(lateAfter).toBeLessThan(pieces);
  });

  test("a late one is in the very next step", async () => {
    const { backend } = engine;
    const signal = new AbortController().signal;
    const prepare = (text: string, maxTokens: number) => backend.prepare(generationOf(text, maxTokens));
    const late = await prepare("late", 2);
    let submittedAt = 0;
    const heardAt: number[] = [];
    let running: Promise<unknown> | undefined;
    let count = 0;
    const long = await prepare("a long one", 40);
    await long.run(() => {
      if (++count === 10) {
        submittedAt = backend.batchLoop.steps;
        running = late.run(() => heardAt.push(backend.batchLoop.steps) > 0, signal);
      }
      return true;
    }, signal);
    await running;
    expect(heardAt[0]! - submittedAt).toBe(1);
  });

  test("more than there are slots are all answered", async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) => ask(`number ${n}`, { max_tokens: 4 })),
    );
    expect(answers.map(({ usage }) => usage.completion_tokens).every((count) => count >= 1)).toBe(true);
  });
});

describe("the usage of a request is true", { timeout: 120_000 }, () => {
  test("a prompt that was seen is not evaluated again", async () => {
    const first = await ask("something nobody asked before");
    const again = await ask("something nobody asked before");
    expect(first.usage.prompt_tokens_details!.cached_tokens).toBeLessThan(first.usage.prompt_tokens - 1);
    expect(again.usage.prompt_tokens_details!.cached_tokens).toBe(again.usage.prompt_tokens - 1);
    expect(again.text).toBe(first.text);
  });

  test("a client that goes away costs no further step", async () => {
    const gone = new AbortController();
    const before = engine.backend.batchLoop.steps;
    const stream = await engine.client.chat.completions.create(
      { model: "random-tiny", messages: user("long"), temperature: 0, max_tokens: 400, stream: true },
      { signal: gone.signal },
    );
    for await (const _ of stream) gone.abort();
    await until(() => engine.scheduler.queue.busy === 0);
    const { steps } = engine.backend.batchLoop;
    expect(steps - before).toBeLessThan(400);
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(engine.backend.batchLoop.steps).toBe(steps);
  });
});

describe("the context is never shifted silently", { timeout: 120_000 }, () => {
  test("a prompt that does not fit is refused before it runs", async () => {
    const { steps } = engine.backend.batchLoop;
    await expect(ask("x ".repeat(600))).rejects.toMatchObject({
      status: 400,
      code: "context_length_exceeded",
    });
    expect(engine.backend.batchLoop.steps).toBe(steps);
  });

  test("an answer ends when the context is full", async () => {
    const { usage } = await ask("x");
    const long = await ask("x".repeat(512 - usage.prompt_tokens - 2), { max_tokens: 50 });
    expect(long.usage.prompt_tokens).toBe(509);
    expect([long.finish, long.usage.completion_tokens]).toEqual(["length", 3]);
  });
});

describe("a step evaluates", () => {
  test.each([
    ["nothing when nobody has anything", [], []],
    ["one token for each that decodes", [1, 1, 1], [1, 1, 1]],
    ["a whole prompt when there is room", [1, 3], [1, 3]],
    ["the beginning of a long prompt", [20, 5], [8, 0]],
    ["a whole prompt, and not a piece of the next", [5, 4], [5, 0]],
    ["as many whole prompts as fit", [5, 4, 3], [5, 0, 3]],
    ["a chunk of a prompt while others decode", [1, 1, 20], [1, 1, 4]],
    ["all that fits of a prompt while nobody decodes", [20], [8]],
  ])("%s", (_, todo, plan) => {
    const work = todo.map((todo) => ({ todo, most: todo }));
    expect(planStep(work, 8, 4)).toEqual(plan);
  });

  test("decoding slots even when they fill the batch", () => {
    const work = [20, 1, 1].map((todo) => ({ todo, most: todo }));
    expect(planStep(work, 2, 4)).toEqual([0, 1, 1]);
  });

  test("a prompt up to where somebody wants a copy, and nothing for who waits for one", () => {
    const work = [
      { todo: 20, most: 5 },
      { todo: 10, most: 0 },
      { todo: 1, most: 0 },
      { todo: 9, most: 9 },
    ];
    expect(planStep(work, 8, 4)).toEqual([5, 0, 0, 0]);
  });

  test("never more than the batch holds or a slot may take, and always something", () => {
    const work = fc.array(
      fc.record({ todo: fc.integer({ min: 1, max: 900 }), most: fc.integer({ min: 1, max: 900 }) }),
      { minLength: 1, maxLength: 16 },
    );
    fc.assert(
      fc.property(work, fc.integer({ min: 16, max: 512 }), (work, batchSize) => {
        const plan = planStep(work, batchSize, 256);
        const sum = plan.reduce((sum, count) => sum + count, 0);
        expect(sum).toBeGreaterThan(0);
        expect(sum).toBeLessThanOrEqual(batchSize);
        expect(plan.every((count, at) => count <= work[at]!.todo && count <= work[at]!.most)).toBe(true);
      }),
    );
  });
});
