import { expect, test } from "vitest";
import { partialCharacters } from "../../../worker/engine/generation/token-bytes.ts";

test("a byte-level vocabulary spells each byte as a character, and only tokens that are no text are listed", () => {
  // 牛 is E7 89 9B, which GPT-2 writes as ç ī Ľ; Ġ is a space.
  const tokens = ["a", "Ġa", "çī", "Ľ", "çīĽ", "<|im_end|>", "牛"];
  expect([...partialCharacters({ model: "gpt2", tokens })]).toEqual([
    [2, [0xe7, 0x89]],
    [3, [0x9b]],
  ]);
});

test("SentencePiece spells single bytes by their number", () => {
  const tokens = ["<0x0A>", "<0xE7>", "▁a", "牛", "çī"];
  expect([...partialCharacters({ model: "llama", tokens })]).toEqual([[1, [0xe7]]]);
});

test("a model without a vocabulary has none", () => {
  expect(partialCharacters({}).size).toBe(0);
});
