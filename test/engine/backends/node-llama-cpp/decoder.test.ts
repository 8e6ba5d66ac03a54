import type { LlamaModel, Token } from "node-llama-cpp";
import { describe, expect, test } from "vitest";
import { Decoder } from "../../../../worker/engine/backends/node-llama-cpp/decoder.ts";
import type { Generation } from "../../../../worker/engine/generation/backend.ts";
import { CLOSE, modelOf } from "./character-model.ts";

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
    expect(told(modelOf("", true), [...spelled("so <b"), CLOSE, ...spelled("no")])).toEqual({
      text: "so <b",
      heard: 6,
    });
  });

  test("spelled out", () => {
    expect(told(modelOf(""), spelled("a < b</think>no"))).toEqual({ text: "a < b", heard: 13 });
  });
});
