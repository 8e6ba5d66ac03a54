// Thinking as a client sees it: off unless asked for, beside the answer, and never instead of it.
import { afterEach, describe, expect, test } from "vitest";
import { openScripted } from "../../../worker/engine/backends/scripted/open.ts";
import { tooLong } from "../../../worker/engine/generation/backend.ts";
import { fitThinking } from "../../../worker/engine/scheduler/generate.ts";
import { collect, type Running, running, scripted, user } from "../running.ts";

let engine: Running | undefined;
afterEach(async () => {
  await engine?.close();
  engine = undefined;
});
const THINKER = { thought: "The knob is level so it is locked.", rules: [{ answer: "It is locked." }] };

async function ask(script: Record<string, unknown>, fields: Record<string, unknown>) {
  engine = await scripted(script);
  const { choices, usage } = await engine.client.chat.completions.create({
    model: "scripted",
    messages: user("Is it?"),
    ...fields,
  });
  const { content, reasoning_content } = choices[0]!.message as {
    content: string;
    reasoning_content?: string;
  };
  return { content, thought: reasoning_content, finish: choices[0]!.finish_reason, usage };
}

describe("a model that can think", () => {
  test("does not unless it is asked to", async () => {
    const { content, thought, usage } = await ask(THINKER, {});
    expect({ content, thought }).toEqual({ content: "It is locked.", thought: undefined });
    expect(usage).toMatchObject({ completion_tokens: 3, completion_tokens_details: { reasoning_tokens: 0 } });
  });

  test.each([
    { reasoning_effort: "low" },
    { chat_template_kwargs: { enable_thinking: true } },
    { thinking_budget: 99 },
  ])("thinks beside its answer with %o", async (fields) => {
    const { content, thought, usage } = await ask(THINKER, fields);
    expect({ content, thought }).toEqual({ content: "It is locked.", thought: THINKER.thought });
    expect(usage).toMatchObject({
      prompt_tokens: 2,
      completion_tokens: 11,
      completion_tokens_details: { reasoning_tokens: 8 },
    });
  });

  test("is cut off at the budget, and answers all the same", async () => {
    const { content, thought, finish } = await ask(THINKER, { thinking_budget: 3 });
    expect({ content, thought, finish }).toEqual({
      content: "It is locked.",
      thought: "The knob is",
      finish: "stop",
    });
  });

  test("max_tokens, stop strings and the schema are for the answer alone", async () => {
    const cut = await ask(THINKER, { thinking_budget: 50, max_tokens: 1, stop: "level" });
    expect(cut).toMatchObject({ content: "It", thought: THINKER.thought, finish: "length" });
    await engine!.close();
    const schema = { type: "object", properties: { locked: { type: "boolean" } }, required: ["locked"] };
    const response_format = { type: "json_schema", json_schema: { name: "a", schema } };
    const fits = await ask({ thought: "Well {well" }, { thinking_budget: 50, response_format });
    expect([JSON.parse(fits.content), fits.thought]).toEqual([{ locked: false }, "Well {well"]);
  });

  test("shortens its thought and not its answer when the context is small", async () => {
    const { content, thought } = await ask(
      { ...THINKER, contextSize: 60 },
      { thinking_budget: 50, max_tokens: 22 },
    );
    expect({ content, thought }).toEqual({ content: "It is locked.", thought: "The knob is level" });
    await engine!.close();
    const none = await ask({ ...THINKER, contextSize: 60 }, { thinking_budget: 50, max_tokens: 40 });
    expect(none).toMatchObject({ content: "It is locked.", thought: undefined });
  });

  test("streams its thought before its answer", async () => {
    engine = await scripted(THINKER);
    const stream = await engine.client.chat.completions.create({
      model: "scripted",
      messages: user("Is it?"),
      stream: true,
      stream_options: { include_usage: true },
      reasoning_effort: "low",
    });
    const chunks = await collect(stream);
    const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta));
    const thoughts = deltas.map((delta) => (delta as { reasoning_content?: string }).reasoning_content);
    const firstWord = deltas.findIndex(({ content }) => content);
    expect(thoughts.slice(0, firstWord).join("")).toBe(THINKER.thought);
    expect(thoughts.slice(firstWord).join("")).toBe("");
    expect(chunks.at(-1)!.usage).toMatchObject({ completion_tokens_details: { reasoning_tokens: 8 } });
  });

  test("keeps to one slot, so that its answer does not wait behind others", async () => {
    engine = await scripted({ ...THINKER, tokenMs: 1 }, { slots: 1 });
    const order: string[] = [];
    const one = async (name: string) => {
      const stream = await engine!.client.chat.completions.create({
        model: "scripted",
        messages: user("Is it?"),
        stream: true,
        reasoning_effort: "low",
      });
      for await (const { choices } of stream) if (choices[0]?.delta.content) order.push(name);
    };
    await Promise.all([one("a"), one("b")]);
    expect(order).toHaveLength(6);
    expect(new Set(order.slice(0, 3)).size).toBe(1);
  });

  test("says what is wrong with the answer's fields before it thinks", async () => {
    await expect(ask(THINKER, { thinking_budget: 50, logit_bias: { 40000: 1 } })).rejects.toMatchObject({
      status: 400,
      param: "logit_bias",
    });
    await engine!.close();
    const long = { thinking_budget: 50, messages: user("a ".repeat(9_000)) };
    await expect(ask(THINKER, long)).rejects.toMatchObject({ code: "context_length_exceeded" });
  });
});

test("a thought that grew too long for the context is left out, and the answer comes", async () => {
  const scripted = await openScripted({ script: JSON.stringify(THINKER), slots: 1 });
  const prepare: typeof scripted.prepare = async (generation) => {
    const { prompt } = generation;
    if ("messages" in prompt && typeof prompt.thinking === "object") throw tooLong(9_000, 8_192);
    return scripted.prepare(generation);
  };
  engine = await running(async () => ({ ...scripted, prepare }));
  const fields = { messages: user("Is it?"), thinking_budget: 50 };
  const { choices } = await engine.client.chat.completions.create({ model: "scripted", ...fields });
  expect(choices[0]!.message).toMatchObject({ content: "It is locked.", reasoning_content: THINKER.thought });
});

test("a model that cannot think answers as always", async () => {
  const { content, thought } = await ask({ rules: THINKER.rules }, { reasoning_effort: "high" });
  expect({ content, thought }).toEqual({ content: "It is locked.", thought: undefined });
});

describe("when the context is too small the thought gets less, and the answer does not", () => {
  test.each([
    ["all fits", { wanted: 500, promptTokens: 100, contextSize: 8_192, maxTokens: 1_000 }, 500],
    [
      "the answer needs the rest",
      { wanted: 500, promptTokens: 100, contextSize: 1_132, maxTokens: 900 },
      100,
    ],
    ["nothing is left", { wanted: 500, promptTokens: 100, contextSize: 1_000, maxTokens: 900 }, 0],
    [
      "half of the room is the answer's when it names no end",
      { wanted: 5_000, promptTokens: 68, contextSize: 1_100, maxTokens: undefined },
      500,
    ],
    ["not wanted", { wanted: 0, promptTokens: 1, contextSize: 1_000, maxTokens: 1 }, 0],
  ])("%s", (_, given, tokens) => {
    expect(fitThinking(given)).toBe(tokens);
  });
});

describe("an answer that only repeats itself", () => {
  const loop = { rules: [{ answer: " I do not know.".repeat(1_000) }] };

  test("is ended, and the client is told in a way that every client understands", async () => {
    engine = await scripted(loop);
    const { choices, usage } = await engine.client.chat.completions.create({
      model: "scripted",
      messages: user("Is it?"),
    });
    expect(choices[0]).toMatchObject({ finish_reason: "length", stop_reason: "repetition" });
    expect(usage!.completion_tokens).toBeLessThan(600);
  });

  test("is ended in a stream and in a plain completion too", async () => {
    engine = await scripted(loop);
    const chunks = await collect(
      await engine.client.completions.create({
        model: "scripted",
        prompt: "x",
        max_tokens: 3_000,
        stream: true,
      }),
    );
    expect(chunks.at(-1)!.choices[0]).toMatchObject({ finish_reason: "length", stop_reason: "repetition" });
  });

  test.each([
    ["false", { repetition_detection: false }],
    ["vLLM's size of 0", { repetition_detection: { max_pattern_size: 0 } }],
  ])("goes on when its request says so: %s", async (_, fields) => {
    const { finish, usage } = await ask(loop, fields);
    expect([finish, usage!.completion_tokens]).toEqual(["stop", 4_000]);
  });

  test("is ended by its request's own rule", async () => {
    const repetition_detection = { max_pattern_size: 10, min_count: 3 };
    const { usage } = await ask(loop, { repetition_detection });
    expect(usage!.completion_tokens).toBe(12);
  });

  test("goes on when the owner has switched it off", async () => {
    const open = () => openScripted({ script: JSON.stringify(loop), slots: 1 });
    engine = await running(open, { repetitionStop: false });
    const { usage } = await engine.client.chat.completions.create({ model: "scripted", messages: user("x") });
    expect(usage!.completion_tokens).toBe(4_000);
  });

  test("leaves a thought that repeats itself, and the answer comes", async () => {
    const { content, usage } = await ask(
      { thought: " Well.".repeat(3_000), rules: [{ answer: "Yes." }] },
      { think: "high" },
    );
    expect(content).toBe("Yes.");
    expect(usage!.completion_tokens_details!.reasoning_tokens).toBe(512);
  });
});
