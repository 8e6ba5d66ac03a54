// The two ends of the HTTP boundary together: our model client on our engine, its backend scripted.
import { expect, test } from "vitest";
import { z } from "zod";
import { KamadoError } from "../../worker/errors.ts";
import { EngineClient } from "../../worker/model/engine-client.ts";
import { createModel } from "../../worker/model/model.ts";
import { Turns } from "../../worker/model/turns.ts";
import { scripted, until } from "../engine/running.ts";

async function onOurEngine(
  script: Record<string, unknown>,
  more: { model?: string; priority?: number } = {},
) {
  const engine = await scripted(script);
  const client = new EngineClient({ url: engine.url });
  const { signal } = new AbortController();
  const close = async () => {
    await client.close();
    await engine.close();
  };
  return {
    ...createModel({ client, signal, ...more }),
    client,
    scheduler: engine.scheduler,
    [Symbol.asyncDispose]: close,
  };
}

const QUESTION = { instructions: "Answer.", content: "Q: is it locked?" };

test("asking, deciding and the receipt fit together", async () => {
  await using engine = await onOurEngine({
    model: "pan",
    rules: [{ when: "locked", answer: ["Yes.", "y", { locked: true }], logprobs: { y: 0.75, n: 0.25 } }],
  });
  const { model, client, used } = engine;
  expect(await client.health()).toEqual({ is: "ready", slots: 4 });
  expect(await model.ask(QUESTION)).toBe("Yes.");
  const { choice, probabilities } = await model.decide({ ...QUESTION, options: ["y", "n"] });
  expect([choice, probabilities.y]).toEqual(["y", expect.closeTo(0.75, 5)]);
  expect(await model.ask({ ...QUESTION, schema: z.object({ locked: z.boolean() }) })).toEqual({
    locked: true,
  });
  expect(used()).toMatchObject({ model: "pan", engine: "kamado", repairs: 0 });
  expect(used().promptTokens).toBeGreaterThan(0);
});

test("what a grammar cannot enforce is repaired here, and only once, so that the receipt tells of it", async () => {
  await using engine = await onOurEngine({
    rules: [{ when: "locked", answer: ['"May"', '"2026-05"', '"May"', '"June"'] }],
  });
  const asking = { ...QUESTION, jsonSchema: { type: "string", pattern: "^[0-9-]+$" } };
  expect(await engine.model.ask(asking)).toBe("2026-05");
  expect(engine.used()).toMatchObject({ requests: 2, repairs: 1 });
  await expect(engine.model.ask(asking)).rejects.toMatchObject({ code: "answer_invalid" });
  expect(engine.used()).toMatchObject({ requests: 4, repairs: 2 });
});

test("an answer that our engine ended because it only repeats itself has its own code", async () => {
  await using engine = await onOurEngine({ rules: [{ answer: " I do not know.".repeat(1_000) }] });
  const asked = engine.model.ask({ ...QUESTION, maxTokens: 4_000 });
  await expect(asked).rejects.toMatchObject({ code: "answer_repetitive" });
  expect(engine.used().completionTokens).toBeLessThan(600);
});

test("a job waits in the engine's queue by its priority", async () => {
  await using engine = await onOurEngine({ rules: [{ do: "hang" }] }, { priority: 7 });
  const asked = engine.model.ask(QUESTION).catch(() => "cut off");
  await until(() => engine.scheduler.slotStats.list()[0]!.rank === 7);
  await engine.client.close();
  expect(await asked).toBe("cut off");
});

test.for([
  ["more than fits", { contextSize: 16 }, {}, "context_length_exceeded"],
  ["a model it does not serve", {}, { model: "other" }, "model_not_loaded"],
] as const)("%s has its own code", async ([, script, more, code]) => {
  await using engine = await onOurEngine(script, more);
  const asked = engine.model.ask({ ...QUESTION, content: "many words ".repeat(50) });
  await expect(asked).rejects.toBeInstanceOf(KamadoError);
  await expect(asked).rejects.toMatchObject({ code });
});

test.for([1, 3])(
  "beside %i jobs of 300 questions each, a short job waits for few of their answers",
  async (greedy) => {
    const slots = 4;
    await using engine = await onOurEngine({ waitMs: 20 });
    const { client } = engine;
    await client.health();
    const turns = new Turns({ atOnce: 16, slots: () => client.slots });
    const over = new AbortController();
    const ask = (content: string, signal: AbortSignal) =>
      createModel({ client, signal, turns }).model.ask({ ...QUESTION, content });
    let answered = 0;
    const busy = Array.from({ length: greedy }, () => {
      const { model } = createModel({ client, signal: over.signal, turns });
      return Array.from({ length: 300 }, () => model.ask(QUESTION).then(() => (answered += 1)));
    });
    const ended = Promise.allSettled(busy.flat());
    await until(() => answered >= 20);
    const before = answered;
    await ask("Q: short", new AbortController().signal);
    const meanwhile = answered - before;
    over.abort();
    await ended;
    // Those that are generated, those that wait at the engine, and those that are generated beside it.
    expect(meanwhile).toBeLessThanOrEqual(3 * slots);
  },
);
