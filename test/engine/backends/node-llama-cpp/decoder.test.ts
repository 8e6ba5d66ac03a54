import type { LlamaModel, Token } from "node-llama-cpp";
import { describe, expect, test } from "vitest";
import { Decoder } from "../../../../worker/engine/backends/node-llama-cpp/decoder.ts";
import type { Generation } from "../../../../worker/engine/generation/backend.ts";
import { CLOSE, modelOf } from "./character-model.ts";

describe("thinking ends at its closing mark, which is not part of it", () => {
  function decode(model: LlamaModel, sampled: readonly number[]): { text: string; taken: number } {
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
    const ended = sampled.findIndex((token) => decoder.next({ token: token as Token }) === undefined);
    return { text, taken: ended + 1 };
  }
  const spelled = (text: string) => Array.from(text, (char) => char.codePointAt(0)!);

  test("as a token of its own", () => {
    expect(decode(modelOf("", true), [...spelled("so <b"), CLOSE, ...spelled("no")])).toEqual({
      text: "so <b",
      taken: 6,
    });
  });

  test("spelled out", () => {
    expect(decode(modelOf(""), spelled("a < b</think>no"))).toEqual({ text: "a < b", taken: 13 });
  });
});
