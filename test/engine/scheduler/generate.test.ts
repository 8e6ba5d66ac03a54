import { describe, expect, test } from "vitest";
import { thinkingBudget } from "../../../worker/engine/scheduler/generate.ts";
import { thinkingBudgetOf } from "../../../worker/engine/server/chat-request.ts";

describe("what a request says about thinking", () => {
  test.each([
    ["nothing", {}, 0],
    ["reasoning_effort none", { reasoning_effort: "none" }, 0],
    ["minimal", { reasoning_effort: "minimal" }, 0],
    ["low", { reasoning_effort: "low" }, 512],
    ["medium", { reasoning_effort: "medium" }, 2_048],
    ["high", { reasoning_effort: "high" }, 8_192],
    ["a number of tokens", { thinking_budget: 77 }, 77],
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
    ["nulls are nothing", { reasoning_effort: null, thinking_budget: null, chat_template_kwargs: null }, 0],
  ] as const)("%s: %o means %i tokens", (_, fields, tokens) => {
    expect(thinkingBudgetOf(fields)).toBe(tokens);
  });
});

describe("the thought gives way to the answer, never the other way round", () => {
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
    expect(thinkingBudget(given)).toBe(tokens);
  });
});
