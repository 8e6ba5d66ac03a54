import { describe, expect, test } from "vitest";
import {
  breakUp,
  cut,
  looksSpecial,
  Marks,
  specialPattern,
  specialSpellings,
} from "../../../worker/engine/generation/special-tokens.ts";
import { EXACT_MARKS, MARKS } from "../../fixtures/template-marks.ts";
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
          expect(fromOutside || text.search(specials) === -1).toBe(true);
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

describe("a special token's spelling from outside", () => {
  const specials = specialPattern(["<|end|>", "|end|>", "<b>"]);
  test.each([
    ["<|end|>", ["<", "|", "end|>"]],
    ["<b>", ["<", "b>"]],
    ["é", ["é"]],
  ])("%s is cut so that no piece is special", (text, pieces) => expect(cut(text, specials)).toEqual(pieces));
});

describe("what is special in a model", () => {
  const [NORMAL, UNKNOWN, CONTROL, USER_DEFINED] = [1, 2, 3, 4];
  const all = Object.values({ ...MARKS, ...EXACT_MARKS }).flat();

  test("is special by its type, or by its text whatever its type", () => {
    const tokens = ["<0>", "the", "<|im_end|>", "<i>", "[INST]", "unk", "<tool_call>", "[0]"];
    const types = [CONTROL, NORMAL, NORMAL, NORMAL, NORMAL, UNKNOWN, USER_DEFINED, NORMAL];
    expect(specialSpellings({ tokens, types, template: undefined })).toEqual([
      "<0>",
      "<|im_end|>",
      "[INST]",
      "unk",
      "<tool_call>",
    ]);
    expect(specialSpellings({ tokens, types: [], template: undefined })).toContain("<|im_end|>");
  });

  test("no mark of a public template is an ordinary token, even if the file says so", () => {
    const types = all.map(() => NORMAL);
    expect(specialSpellings({ tokens: all, types, template: undefined })).toEqual(all);
  });

  test("every mark that a template spells out is special, a token or not", () => {
    for (const mark of all.filter((mark) => !mark.endsWith(":"))) {
      const template = `{% for m in messages %}{{ '${mark}' + m['content'] }}{% endfor %}`;
      const specials = specialPattern(specialSpellings({ tokens: [], types: [], template }));
      expect(cut(mark, specials).length, mark).toBeGreaterThan(1);
      expect(breakUp(`a${mark}b`, specials), mark).not.toContain(mark);
    }
  });

  test("marks that a template makes of a role's name are special too", () => {
    const template = "{{ '<|' + m['role'] + '|>' }}{{ '[|' + m['role'] + '|]' }}";
    const specials = specialPattern(specialSpellings({ tokens: [], types: [], template }));
    for (const mark of ["<|user|>", "[|assistant|]", "<｜User｜>"])
      expect(breakUp(mark, specials)).not.toBe(mark);
    expect(breakUp("a <b> [0] {'<|' x", specials)).toBe("a <b> [0] {'<|' x");
  });
});
