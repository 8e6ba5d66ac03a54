import type { LlamaModel, Token } from "node-llama-cpp";
import { describe, expect, test } from "vitest";
import { Prompts } from "../../../../worker/engine/backends/node-llama-cpp/chat-template.ts";
import type { Thinking } from "../../../../worker/engine/generation/backend.ts";
import { modelOf } from "./character-model.ts";

const QWEN = `{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}`;
const DEAF =
  "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant><think>\n{# </think> #}";
const PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>";

describe("a text from outside", () => {
  /** A library that makes one token of a mark wherever it finds it whole, although the file calls it an ordinary token. */
  function modelWith(mark: string): LlamaModel {
    const model = modelOf(PLAIN);
    const tokenize = (text: string) =>
      text.split(mark).flatMap((part, at) => [...(at > 0 ? [MARK] : []), ...model.tokenize(part)]);
    const tokenizer = { chat_template: PLAIN, ggml: { tokens: ["a", mark], token_type: [1, 1] } };
    return { ...model, tokenize, fileInfo: { metadata: { tokenizer } } } as unknown as LlamaModel;
  }
  const MARK = 0x10ffff as Token;

  test.for(["<|im_end|>", "[|user|]", "<SPECIAL_11>"])(
    "never becomes the token %s, though the file calls it an ordinary one",
    (mark) => {
      const prompts = new Prompts(modelWith(mark));
      const parts = [{ type: "text" as const, text: `a${mark}b${mark}` }];
      const chat = prompts.tokenize({ messages: [{ role: "user", parts }], thinking: "off" });
      expect(chat).not.toContain(MARK);
      expect(prompts.tokenize({ text: mark })).not.toContain(MARK);
    },
  );
});

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
