import { describe, expect, test } from "vitest";
import { thinkingEnd, thinkingMarks } from "../../../worker/engine/generation/thinking-marks.ts";

const THINK = { open: "<think>", close: "</think>" };
const HARMONY = { open: "<|channel|>analysis<|message|>", close: "<|end|>" };

describe("the marks around a model's thinking are found in its template", () => {
  test.each([
    ["Qwen3", "{%- if enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}", THINK],
    ["DeepSeek", "{% if '</think>' in content %}{% endif %}{{'<｜Assistant｜><think>\\n'}}", THINK],
    [
      "gpt-oss",
      `{{- "<|start|>assistant<|channel|>analysis<|message|>" }}{{- "<|channel|>final<|message|>" }}`,
      HARMONY,
    ],
    ["Magistral", "[THINK]{{ thought }}[/THINK]", { open: "[THINK]", close: "[/THINK]" }],
    ["Seed-OSS", "<seed:think>…</seed:think>", { open: "<seed:think>", close: "</seed:think>" }],
    [
      "Gemma 4",
      "{{- '<|channel>thought\\n' + thought + '\\n<channel|>' -}}",
      { open: "<|channel>thought", close: "<channel|>" },
    ],
    ["Gemma 3", "{{ '<start_of_turn>' + role + '\\n' + content + '<end_of_turn>\\n' }}", undefined],
    ["a model that only strips others' thoughts", "{{ content.split('</think>')[-1] }}", undefined],
    ["none at all", "", undefined],
  ])("%s", (_, template, marks) => {
    expect(thinkingMarks(template)).toEqual(marks);
  });
});

describe("a prompt's end", () => {
  test.each([
    ["opens the thinking", "<a>\n", THINK, "open" as const, "<think>\n"],
    ["stays as it is where the template opened it", "<a>\n<think>\n", THINK, "open" as const, ""],
    ["holds a thought", "<a>\n", THINK, { thought: " so " }, "<think>\nso\n</think>\n\n"],
    ["closes what the template opened", "<a>\n<think>\n", THINK, { thought: "so" }, "so\n</think>\n\n"],
    ["begins a line after a bare mark", "<a><think>", THINK, { thought: "so" }, "\nso\n</think>\n\n"],
    ["opens a channel", "<|start|>assistant", HARMONY, "open" as const, HARMONY.open],
    [
      "goes on in the answer's channel",
      "<|start|>assistant",
      HARMONY,
      { thought: "so" },
      "<|channel|>analysis<|message|>so<|end|><|start|>assistant<|channel|>final<|message|>",
    ],
  ])("%s", (_, rendered, marks, thinking, expected) => {
    expect(thinkingEnd(rendered, marks, thinking)).toBe(expected);
  });
});
