// The prompts of the tables.
import { describe, expect, test } from "vitest";
import { lengthFor, promptsOf, textOf } from "../../bench/prompts.ts";

describe("prompts", () => {
  test("have the same beginning and different ends, and are the same for the same seed", () => {
    const prompts = promptsOf({ shared: 50, own: 10 }, 3, 4);
    expect(promptsOf({ shared: 50, own: 10 }, 3, 4)).toEqual(prompts);
    expect(new Set(prompts.map((prompt) => prompt.slice(0, 50))).size).toBe(1);
    expect(new Set(prompts).size).toBe(3);
    expect(new Set([...prompts, ...promptsOf({ shared: 50, own: 10 }, 3, 5)]).size).toBe(6);
    expect(prompts.every(({ length }) => length === 60)).toBe(true);
  });

  test("contain no pair that the random models' tokenizer would merge", () => {
    expect(textOf(20_000, 3)).not.toMatch(/ye|no|th/);
  });

  test("have the length that gives the wanted number of tokens", () => {
    expect(lengthFor(500, { characters: 256, tokens: 256 })).toBe(500);
    expect(lengthFor(500, { characters: 256, tokens: 64 })).toBe(2_000);
  });
});
