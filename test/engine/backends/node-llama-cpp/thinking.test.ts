import type { LlamaModel, Token } from "node-llama-cpp";
import { describe, expect, test } from "vitest";
import { Prompts } from "../../../../worker/engine/backends/node-llama-cpp/chat-template.ts";
import { Decoder } from "../../../../worker/engine/backends/node-llama-cpp/decoder.ts";
import type { Generation, Thinking } from "../../../../worker/engine/generation/backend.ts";

const CLOSE = 1 as Token;
const QWEN = `{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>{% if enable_thinking is defined and enable_thinking is false %}<think>\n\n</think>\n\n{% endif %}`;
const DEAF =
  "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant><think>\n{# </think> #}";
const PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>";

/** A model whose tokens are characters, and `</think>` if it has such a token. */
function modelOf(template: string, closeIsToken = false): LlamaModel {
  const tokenize = (text: string, special?: boolean) => {
    if (special && closeIsToken && text === "</think>") return [CLOSE];
    return Array.from(text, (char) => char.codePointAt(0)! as Token);
  };
  return {
    fileInfo: { metadata: { tokenizer: { chat_template: template } } },
    tokens: { bos: null, bosString: null, eosString: null, shouldPrependBosToken: false },
    iterateAllTokens: () => [][Symbol.iterator](),
    tokenize,
    detokenize: (tokens: number[]) => tokens.map((token) => String.fromCodePoint(token)).join(""),
    isEogToken: () => false,
  } as unknown as LlamaModel;
}

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

describe("thinking ends at its closing mark, which is not told", () => {
  function told(model: LlamaModel, heard: readonly number[]): { text: string; heard: number } {
    let text = "";
    const decoder = new Decoder({
      model,
      prompt: [],
      generation: { sampling: { seed: 1 } } as Generation,
      room: 100,
      grammar: undefined,
      partialCharacters: new Map(),
      close: "</think>",
      emit: (piece) => {
        text += piece.text;
        return true;
      },
    });
    const ended = heard.findIndex((token) => decoder.next({ token: token as Token }) === undefined);
    return { text, heard: ended + 1 };
  }
  const spelled = (text: string) => Array.from(text, (char) => char.codePointAt(0)!);

  test("as a token of its own", () => {
    expect(told(modelOf(QWEN, true), [...spelled("so <b"), CLOSE, ...spelled("no")])).toEqual({
      text: "so <b",
      heard: 6,
    });
  });

  test("spelled out", () => {
    expect(told(modelOf(QWEN), spelled("a < b</think>no"))).toEqual({ text: "a < b", heard: 13 });
  });
});
