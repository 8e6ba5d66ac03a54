import { describe, expect, test } from "vitest";
import { Prompts } from "../../../../worker/engine/backends/node-llama-cpp/chat-template.ts";
import type { Thinking } from "../../../../worker/engine/generation/backend.ts";
import { modelOf } from "./character-model.ts";

const QWEN = `{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}`;
const DEAF =
  "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant><think>\n{# </think> #}";
const PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>";

describe("a prompt for node-llama-cpp", () => {
  const prompt = (template: string, thinking: Thinking) => {
    const model = modelOf(template);
    const messages = [{ role: "user" as const, parts: [{ type: "text" as const, text: "hi" }] }];
    return model.detokenize(new Prompts(model).tokenize({ messages, thinking }));
  };

  test.each<[string, string, Thinking, string]>([
    ["asks for the answer alone", QWEN, "off", "<user>hi<assistant><think>\n\n</think>\n\n"],
    ["begins inside of the thinking", QWEN, "open", "<user>hi<assistant><think>\n"],
    [
      "goes on behind what was thought",
      QWEN,
      { thought: "It is a greeting." },
      "<user>hi<assistant><think>\nIt is a greeting.\n</think>\n\n",
    ],
    [
      "closes a thinking that the template opens unasked",
      DEAF,
      "off",
      "<user>hi<assistant><think>\n\n</think>\n\n",
    ],
    ["is the same for a model that does not think", PLAIN, "open", "<user>hi<assistant>"],
  ])("%s", (_, template, thinking, text) => {
    expect(prompt(template, thinking)).toBe(text);
  });
});
