// The fields of a request: what each means to the model, and which are refused.
import OpenAI from "openai";
import { describe, expect, test } from "vitest";
import { png } from "../../../bench/hostile-pictures.ts";
import { thinkingBudgetOf } from "../../../worker/engine/server/thinking-fields.ts";
import { decoderPids, isRunning } from "../../images/decoder-processes.ts";
import { post, user } from "../running.ts";
import { recorder, start } from "./start.ts";

test("a picture whose client has gone is decoded no further", async () => {
  const { url } = await start();
  const client = new AbortController();
  // Together they take some seconds, one after another.
  const image_url = `data:image/png;base64,${png(7_000, 7_000, { bitDepth: 16 }).toString("base64")}`;
  const content = Array(16).fill({ type: "image_url", image_url });
  const answer = fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages: [{ role: "user", content }] }),
    signal: client.signal,
  });
  await expect.poll(() => decoderPids()).toHaveLength(1);
  const [decoder] = decoderPids();
  client.abort();
  await expect(answer).rejects.toThrow();
  await expect.poll(() => isRunning(decoder!)).toBe(false);
});

describe("fields", () => {
  test("for penalties, biases, the seed and the conversation reach the model", async () => {
    const { client, seen } = await recorder();
    await client.chat.completions.create({
      model: "recorder",
      messages: user("x"),
      presence_penalty: 0.5,
      frequency_penalty: -1.5,
      logit_bias: { 11: -100, 7: 2.5 },
      seed: 3,
      ...{ top_k: 40, repetition_penalty: 1.1, conversation: "kitchen" },
    });
    expect(seen[0]!.conversation).toBe("kitchen");
    expect(seen[0]!.sampling).toEqual({
      temperature: 1,
      topP: 1,
      topK: 40,
      seed: 3,
      repetitionPenalty: 1.1,
      presencePenalty: 0.5,
      frequencyPenalty: -1.5,
      logitBias: new Map([
        [7, 2.5],
        [11, -100],
      ]),
    });
  });

  test("for the conversation may be replaced by a header that the client sends with every request", async () => {
    const { url, seen } = await recorder();
    const client = new OpenAI({
      baseURL: `${url}/v1`,
      apiKey: "none",
      defaultHeaders: { "x-conversation-id": "hall" },
    });
    await client.chat.completions.create({ model: "recorder", messages: user("x") });
    await client.completions.create({ model: "recorder", prompt: "x" });
    expect(seen.map(({ conversation }) => conversation)).toEqual(["hall", "hall"]);
  });

  test.each([
    ["n", 17, "n"],
    ["presence_penalty", 2.1, "presence_penalty"],
    ["frequency_penalty", "much", "frequency_penalty"],
    ["logit_bias", { 5: 101 }, "logit_bias.5"],
    ["logit_bias", { door: 1 }, "logit_bias"],
    ["logit_bias", Object.fromEntries(Array.from({ length: 513 }, (_, id) => [id, 1])), "logit_bias"],
    ["logit_bias", { 40000: 1 }, "logit_bias"],
    ["priority", 10, "priority"],
    ["priority", "high", "priority"],
    ["conversation", "x".repeat(129), "conversation"],
    ["reasoning_effort", "endless", "reasoning_effort"],
    ["thinking_budget", -2, "thinking_budget"],
    ["thinking", { type: "adaptive" }, "thinking.type"],
    ["reasoning", { exclude: true }, "reasoning.exclude"],
    ["logit_bias", [["Paris", 1]], "logit_bias"],
    ["stop", 5, "stop"],
  ])("%s: %j is refused with its name", async (field, value, param) => {
    const { url } = await start();
    const { status, body } = await post(url, JSON.stringify({ messages: user("x"), [field]: value }));
    expect([status, body.error.code, body.error.param]).toEqual([400, "invalid_value", param]);
    expect(body.error.message).toMatch(new RegExp(`^${field}`));
  });

  test.each([
    ["best_of", 2],
    ["suffix", "end"],
    ["echo", true],
    ["n", 0],
  ])("a plain completion's %s: %j is refused with its name", async (field, value) => {
    const { client } = await start();
    const ask = { model: "scripted", prompt: "x", [field]: value };
    await expect(client.completions.create(ask)).rejects.toMatchObject({ status: 400, param: field });
  });

  test("that nobody knows are refused with their names, and those that change nothing are taken", async () => {
    const { client } = await start();
    const ask = { model: "scripted", messages: user("x"), user: "me", store: false };
    expect((await client.chat.completions.create(ask)).choices[0]!.message.content).toBe("x");
    const misspelled = { ...ask, max_token: 5 } as typeof ask;
    await expect(client.chat.completions.create(misspelled)).rejects.toMatchObject({
      status: 400,
      param: "max_token",
    });
  });
});

describe("what a request says about thinking", () => {
  test.each([
    ["nothing", {}, 0],
    ["reasoning_effort none", { reasoning_effort: "none" }, 0],
    ["minimal", { reasoning_effort: "minimal" }, 0],
    ["low", { reasoning_effort: "low" }, 512],
    ["medium", { reasoning_effort: "medium" }, 2_048],
    ["high", { reasoning_effort: "high" }, 8_192],
    ["a number of tokens", { thinking_budget: 77 }, 77],
    ["xhigh", { reasoning_effort: "xhigh" }, 32_768],
    ["Ollama's switch", { think: true }, 2_048],
    ["Ollama's switch with a word", { think: "low" }, 512],
    ["Ollama's word", { reasoning: { effort: "high" } }, 8_192],
    ["llama-server's number", { thinking_budget_tokens: 77 }, 77],
    ["vLLM's number", { thinking_token_budget: 77 }, 77],
    ["no limit, which asks for no thinking", { thinking_token_budget: -1 }, 0],
    ["Ollama's switch forbids it too", { think: false, reasoning_effort: "high" }, 0],
    ["a number goes before a word", { thinking_budget: 77, reasoning_effort: "high" }, 77],
    ["the template's switch alone", { chat_template_kwargs: { enable_thinking: true } }, 2_048],
    [
      "a word goes before the switch",
      { chat_template_kwargs: { enable_thinking: true }, reasoning_effort: "low" },
      512,
    ],
    [
      "who forbids it is obeyed",
      { chat_template_kwargs: { enable_thinking: false }, thinking_budget: 77 },
      0,
    ],
    ["Qwen's switch", { enable_thinking: true }, 2_048],
    ["Qwen's switch with a number", { enable_thinking: true, thinking_budget: 77 }, 77],
    ["Qwen's switch with no limit", { enable_thinking: true, thinking_budget: -1 }, 2_048],
    ["Anthropic's number", { thinking: { type: "enabled", budget_tokens: 77 } }, 77],
    ["DeepSeek's switch", { thinking: { type: "enabled" } }, 2_048],
    ["DeepSeek's switch forbids it too", { thinking: { type: "disabled" }, reasoning_effort: "high" }, 0],
    ["OpenRouter's number", { reasoning: { max_tokens: 77 } }, 77],
    ["OpenRouter's switch", { reasoning: { enabled: true, exclude: false } }, 2_048],
    ["a summary asks for no thought of its own", { reasoning: { effort: "low", summary: "auto" } }, 512],
    ["the template's word", { chat_template_kwargs: { reasoning_effort: "low" } }, 512],
    ["nulls are nothing", { reasoning_effort: null, thinking_budget: null, chat_template_kwargs: null }, 0],
  ] as const)("%s: %o means %i tokens", (_, fields, tokens) => {
    expect(thinkingBudgetOf(fields)).toBe(tokens);
  });
});

test.each([
  [
    "llama-server's pairs",
    [
      [5, -1],
      [7, false],
    ],
    [
      [5, -1],
      [7, -100],
    ],
  ],
  ["an empty list", [], []],
  ["keys that are texts", { "5": -1 }, [[5, -1]]],
] as const)("logit_bias may be %s", async (_, logit_bias, expected) => {
  const engine = await recorder();
  expect((await post(engine.url, JSON.stringify({ messages: user("x"), logit_bias }))).status).toBe(200);
  expect([...engine.seen[0]!.sampling.logitBias]).toEqual(expected);
});
