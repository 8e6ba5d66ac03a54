// How templates write calls, found out from what they render.
import { describe, expect, test } from "vitest";
import { Prompts } from "../../../worker/engine/backends/node-llama-cpp/chat-template.ts";
import { HERMES_CALLS } from "../../../worker/engine/backends/scripted/open.ts";
import type { Message } from "../../../worker/engine/generation/backend.ts";
import { asText, shortId, withDescription } from "../../../worker/engine/generation/tool-calls.ts";
import { modelOf } from "../backends/node-llama-cpp/character-model.ts";
import {
  CHATML,
  DEEPSEEK,
  HERMES,
  LATE_MISTRAL,
  LLAMA,
  MISTRAL,
  THINKING_HERMES,
  XML,
} from "../tool-templates.ts";

async function formatOf(template: string) {
  const prompts = new Prompts(modelOf(template));
  await prompts.findCallFormat();
  return prompts.calls;
}

describe("the form of a call is read from the template", () => {
  test.each([
    ["Hermes and Qwen", HERMES, HERMES_CALLS],
    ["Qwen that thinks", THINKING_HERMES, HERMES_CALLS],
    [
      "Llama",
      LLAMA,
      {
        open: '{"name": "',
        middle: '", "parameters": ',
        close: "}",
        next: undefined,
        mark: '{"name"',
        isFirst: true,
      },
    ],
    [
      "Mistral",
      MISTRAL,
      {
        open: '[TOOL_CALLS] [{"name": "',
        middle: '", "arguments": ',
        close: ', "id": "kamado00i"}',
        next: ', {"name": "',
        mark: "[TOOL_CALLS]",
        isFirst: false,
      },
    ],
    [
      "later Mistral",
      LATE_MISTRAL,
      {
        open: "[TOOL_CALLS]",
        middle: "[ARGS]",
        close: "",
        next: "[TOOL_CALLS]",
        mark: "[TOOL_CALLS]",
        isFirst: false,
      },
    ],
    [
      "DeepSeek",
      DEEPSEEK,
      {
        open: "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>",
        middle: "\n```json\n",
        close: "\n```<｜tool▁call▁end｜>",
        next: "\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>",
        mark: "<｜tool▁calls▁begin｜>",
        isFirst: false,
      },
    ],
  ])("%s", async (_, template, format) => {
    expect(await formatOf(template)).toEqual(format);
  });

  test.each([
    ["a template without tools", CHATML],
    ["one whose arguments are no JSON", XML],
    ["one that shows tools but no calls", HERMES.replaceAll("m.tool_calls", "m.nothing")],
    ["one that shows calls but no tools", HERMES.replaceAll("tools", "nothing")],
  ])("%s has none", async (_, template) => {
    expect(await formatOf(template)).toBeUndefined();
  });
});

const part = (text: string) => ({ type: "text" as const, text });
const HISTORY: Message[] = [
  { role: "user", parts: [part("Rome?")] },
  {
    role: "assistant",
    parts: [],
    toolCalls: [{ id: "call_1", name: "weather", arguments: '{"city":"Rome"}' }],
  },
  { role: "tool", parts: [part("sunny")], name: "weather", toolCallId: "call_1" },
  { role: "user", parts: [part("And Oslo?")] },
];

describe("a history with calls", () => {
  test("is rendered by a template that has a place for it", async () => {
    const model = modelOf(HERMES);
    const prompts = new Prompts(model);
    await prompts.findCallFormat();
    const rendered = model.detokenize(prompts.tokenize({ messages: HISTORY, thinking: "off" }));
    expect(rendered).toContain(
      '<tool_call>\n{"name": "weather", "arguments": {"city": "Rome"}}\n</tool_call>',
    );
    expect(rendered).toContain("<tool_response>\nsunny\n</tool_response>");
  });

  test("is text where the template has none, and the roles still take turns", () => {
    expect(
      asText(HISTORY).map(({ role, parts }) => [role, parts.map((one) => "text" in one && one.text)]),
    ).toEqual([
      ["user", ["Rome?"]],
      ["assistant", ['{"name":"weather", "arguments": {"city":"Rome"}}']],
      ["user", ["Result of weather:", "sunny", "And Oslo?"]],
    ]);
  });
});

test("tools are described in the system message, behind what it says", () => {
  const tool = { name: "weather", description: "Of a city.", parameters: { type: "object" }, at: "" };
  for (const messages of [HISTORY, [{ role: "system" as const, parts: [part("Be brief.")] }, ...HISTORY]]) {
    const [system, ...rest] = withDescription(messages, [tool]);
    expect(rest).toEqual(HISTORY);
    expect(JSON.stringify(system)).toContain("Of a city.");
    expect(JSON.stringify(system).includes("Be brief.")).toBe(messages !== HISTORY);
  }
});

test("an id that templates would refuse becomes one of nine letters, always the same", () => {
  expect(shortId("call_0123456789")).toMatch(/^[a-z0-9]{9}$/);
  expect(shortId("call_0123456789")).toBe(shortId("call_0123456789"));
  expect(shortId("call_0123456789")).not.toBe(shortId("call_0123456780"));
  expect(shortId("abcDEF123")).toBe("abcDEF123");
});

test("a tool's text and a call's arguments never become special tokens", async () => {
  const model = modelOf(HERMES);
  const mark = "<|im_end|>";
  const seen: string[] = [];
  const tokenize = (text: string, special?: boolean) => {
    if (special) seen.push(text);
    return model.tokenize(text);
  };
  const prompts = new Prompts({ ...model, tokenize } as typeof model);
  await prompts.findCallFormat();
  const tool = { name: "a", description: `x${mark}SECRET`, parameters: { title: mark }, at: "" };
  const toolCalls = [{ id: "1", name: "a", arguments: JSON.stringify({ b: `${mark}SECRET` }) }];
  const messages: Message[] = [
    { role: "assistant", parts: [], toolCalls },
    { role: "tool", parts: [part(`${mark}SECRET`)] },
  ];
  const tokens = prompts.tokenize({
    messages,
    thinking: "off",
    tools: [tool],
    begun: [{ text: `${mark}SECRET`, fromOutside: true }],
  });
  expect(model.detokenize(tokens).split(`${mark}SECRET`)).toHaveLength(5);
  expect(seen.join("\n")).not.toContain(`${mark}SECRET`);
});
