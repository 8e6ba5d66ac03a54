import { describe, expect, test } from "vitest";
import {
  breakUp,
  looksSpecial,
  Marks,
  specialPattern,
} from "../../../worker/engine/generation/special-tokens.ts";
import fc from "../../properties.ts";

const specials = specialPattern(["<|a|>", "<|a|>b", "[INST]", "</s>"]);

describe("special tokens spelled in a text", () => {
  test.each([
    ["plain", "plain"],
    ["x</s>y", "x<\u200b/s>y"],
    ["<|a|>b[INST]", "<\u200b|a|>b[\u200bINST]"],
  ])("%j is broken up", (text, expected) => {
    expect(breakUp(text, specials)).toBe(expected);
  });

  test("are found again after a template has done what it wants", () => {
    const marks = new Marks(specials);
    const rendered = `<|a|>${marks.mark("  hello </s> <|a|>  ").trim()}</s>`;
    expect(marks.split(rendered)).toEqual([
      { text: "<|a|>hello ", fromOutside: false },
      { text: "</s>", fromOutside: true },
      { text: " ", fromOutside: false },
      { text: "<|a|>", fromOutside: true },
      { text: "</s>", fromOutside: false },
    ]);
  });

  test("none is left outside of marks, whatever the text", () => {
    const piece = fc.constantFrom("<|a|>", "</s>", "[INST]", "<", "|a|>", "b", "\ue000", "0\ue001");
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const text = pieces.join("");
        const marks = new Marks(specials);
        const split = marks.split(marks.mark(text));
        expect(split.map(({ text }) => text).join("")).toBe(text);
        for (const { text, fromOutside } of split)
          expect(fromOutside || text.search(specials!) === -1).toBe(true);
      }),
    );
  });

  test.each([
    ["<think>", true],
    ["[INST]", true],
    ["<|im_end|>", true],
    ["  ", false],
    ["<b", false],
    ["<two words>", false],
  ])("%j looks special: %s", (text, expected) => {
    expect(looksSpecial(text)).toBe(expected);
  });
});
