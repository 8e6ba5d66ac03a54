import { describe, expect, test } from "vitest";
import {
  beginningOf,
  endOf,
  separated,
} from "../../../../worker/engine/backends/llama-server/chat-template.ts";

describe("how an answer begins", () => {
  const qwen = "{% if enable_thinking %}<think></think>{% endif %}";
  const harmony = "<|channel|>analysis <|channel|>final";
  const outside = (text: string) => text.replaceAll("<", "‹");
  test.each<[string, string, string, Parameters<typeof endOf>[2], string]>([
    ["straight away", "assistant\n", "no thinking here", "off", ""],
    ["straight away, where the template sees to it", "assistant\n", qwen, "off", ""],
    [
      "after no thought, where the template always opens one",
      "assistant\n<think>\n",
      qwen,
      "off",
      "\n</think>\n\n",
    ],
    ["in the answer's channel", "<|start|>assistant", harmony, "off", "<|channel|>final<|message|>"],
    ["inside of the thinking", "assistant\n", qwen, "open", "<think>\n"],
    ["after a thought, which is text", "assistant\n", qwen, { thought: "<b>" }, "<think>\n‹b>\n</think>\n\n"],
  ])("%s", (_, rendered, template, thinking, end) =>
    expect(endOf(rendered, template, thinking, outside)).toBe(end),
  );
});

test("a prompt's beginning ends with its last picture", () => {
  const image = (sha256: string) => ({ dataUri: "data:,", width: 1, height: 1, sha256 });
  const texts = ["look ", " and ", " now"];
  const prompt = { tokens: [1, -5, -5, 2, -6, -6, 3], images: [image("a"), image("b")], texts, end: "x" };
  expect(beginningOf(prompt, 3)).toMatchObject({
    tokens: [1, -5, -5],
    texts: ["look ", "\n"],
    images: [image("a")],
  });
  expect(beginningOf(prompt, 6)).toMatchObject({
    texts: ["look ", " and ", "\n"],
    images: [image("a"), image("b")],
  });
  expect(beginningOf(prompt, 1)).toEqual({ tokens: [1], images: [], texts: undefined, end: undefined });
});

test("two pictures never stand side by side, and none stands at the end", () => {
  expect(separated(["", "", "and", ""])).toEqual(["", "\n", "and", "\n"]);
  expect(separated(["", ""])).toEqual(["", "\n"]);
});
