import { describe, expect, test } from "vitest";
import { planPrefix, Speculation } from "../../../../worker/engine/backends/llama-node/plan-prefix.ts";
import {
  commonLength,
  picturesWithin,
  type Sequence,
  sequenceOf,
  usable,
} from "../../../../worker/engine/backends/llama-node/slot-use.ts";
import { surplus } from "../../../../worker/engine/backends/llama-node/state-files.ts";

/** A prompt written as words: letters are a token each, R and B are pictures of ten. */
const HASHES: Record<string, string> = { R: "aaaaaaaa", B: "bbbbbbbb" };
const prompt = (text: string): Sequence =>
  sequenceOf(
    text
      .split(/([RB])/)
      .filter((part) => part !== "")
      .map((part) =>
        part in HASHES ? { sha256: HASHES[part]!, length: 10 } : [...part].map((char) => char.charCodeAt(0)),
      ),
  );

describe("a prompt's places", () => {
  test("hold tokens and pictures", () => {
    const { places, pictures } = prompt("abRc");
    expect(places).toHaveLength(13);
    expect(pictures).toEqual([{ start: 2, end: 12 }]);
    expect(places[2]).toBeLessThan(0);
    expect(commonLength(prompt("abRc"), prompt("abBc"))).toBe(2);
    expect([0, 11, 12].map((length) => picturesWithin(prompt("abRc"), length))).toEqual([0, 0, 1]);
  });

  test.each([
    ["a text, up to where they part", "abcd", "abxy", 2],
    ["a text, but never its last token", "abcd", "abcd", 3],
    ["a text, up to a picture", "abRc", "abcd", 2],
    ["nothing before a picture, from a text", "abcd", "abRc", 0],
    ["the text before another picture", "abRc", "abBc", 2],
    ["nothing, where the text before the pictures parts", "abRc", "axRc", 0],
    ["the picture, for another question", "abRcd", "abRxy", 12],
    ["and what the questions share", "abRcd", "abRcx", 13],
    ["the text only, where a second picture follows", "abRc", "abRBc", 2],
    ["both of two pictures", "aRbBcd", "aRbBxy", 22],
    ["the text only, where the second one is another", "aRbRc", "aRbBc", 1],
  ])("serve %s", (_, held, wanted, expected) => {
    expect(usable(prompt(held), prompt(wanted))).toBe(expected);
  });
});

describe("before a prompt is evaluated", () => {
  const x = (text: string, times = 60) => text.repeat(times);
  const plan = (wanted: string, { stored = [], others = [], speculate = false }: Given) => {
    const known = stored.map((text) => ({ text, sequence: prompt(text) }));
    const made = planPrefix({
      prompt: prompt(wanted),
      stored: known,
      others: others.map(prompt),
      speculate,
    });
    return { load: made.load?.stored.text, save: made.save };
  };
  type Given = { stored?: string[]; others?: string[]; speculate?: boolean };

  test.each<[string, string, Given, ReturnType<typeof plan>]>([
    [
      "nothing is done for what nobody shares",
      x("a"),
      { others: [x("b")] },
      { load: undefined, save: undefined },
    ],
    [
      "a beginning that another has is saved, with the end when that is short",
      `${x("a")}b`,
      { others: [`${x("a")}c`] },
      { load: undefined, save: { length: 60, whole: true } },
    ],
    [
      "by itself when the end is long",
      `${x("a")}${x("b")}`,
      { others: [`${x("a")}c`] },
      { load: undefined, save: { length: 60, whole: false } },
    ],
    [
      "and loaded",
      `${x("a")}b`,
      { stored: [x("a")], others: [`${x("a")}c`] },
      { load: x("a"), save: undefined },
    ],
    [
      "unless it is short",
      "aaab",
      { stored: ["aaa"], others: ["aaac"] },
      { load: undefined, save: undefined },
    ],
    [
      "or most of the file is of no use",
      `${x("a")}b`,
      { stored: [x("a") + x("c", 2_000)] },
      { load: undefined, save: undefined },
    ],
    [
      "what many share goes before what is longer and rare",
      `${x("a")}${x("b")}z`,
      { others: [...Array.from({ length: 9 }, (_, n) => `${x("a")}${n}`), `${x("a")}${x("b")}y`] },
      { load: undefined, save: { length: 60, whole: false } },
    ],
    [
      "and that comes next, from where the shorter one ends",
      `${x("a")}${x("b")}z`,
      { stored: [x("a")], others: [`${x("a")}1`, `${x("a")}${x("b")}y`] },
      { load: x("a"), save: { length: 120, whole: true } },
    ],
    ["a new picture is left alone", "Rb", {}, { load: undefined, save: undefined }],
    [
      "or saved in advance",
      `${x("a", 50)}Rbbb`,
      { speculate: true },
      { load: undefined, save: { length: 60, whole: true } },
    ],
    [
      "the text before another picture is saved with the picture",
      `${x("a")}R${x("b")}`,
      { others: [`${x("a")}B${x("b")}`] },
      { load: undefined, save: { length: 60, whole: true } },
    ],
  ])("%s", (_, wanted, given, expected) => {
    expect(plan(wanted, given)).toEqual(expected);
  });

  test("pictures are saved in advance as long as that pays, and tried again from time to time", () => {
    const speculation = new Speculation();
    const tries = (count: number) =>
      Array.from({ length: count }, () => {
        const allowed = speculation.allows();
        if (allowed) speculation.saved();
        return allowed;
      }).filter(Boolean).length;
    expect(tries(8)).toBe(8);
    expect(tries(160)).toBe(10);
    for (let n = 0; n < 8; n++) speculation.used();
    expect(tries(8)).toBe(8);
  });
});

describe("when saved states are more than may be kept", () => {
  const file = (name: string, usedAt: number, more: object = {}) => {
    return { name, usedAt, bytes: 10, conversation: undefined, readers: 0, ...more };
  };
  test.each([
    ["nobody goes who fits", [file("a", 1), file("b", 2)], 20, []],
    ["the one goes that was unused for the longest", [file("b", 2), file("a", 1), file("c", 3)], 20, ["a"]],
    ["as many as needed", [file("a", 1), file("b", 2), file("c", 3)], 10, ["a", "b"]],
    ["not who is being read", [file("a", 1, { readers: 1 }), file("b", 2)], 10, ["b"]],
    ["a conversation stays longer", [file("a", 50, { conversation: "x" }), file("b", 80)], 10, ["b"]],
    ["but not for ever", [file("a", 0, { conversation: "x" }), file("b", 99)], 10, ["a"]],
  ])("%s", (_, all, bytes, gone) => {
    expect(surplus(all, { bytes, files: 10 }, 100).map(({ name }) => name)).toEqual(gone);
  });

  test("or too many", () => {
    expect(
      surplus([file("a", 1), file("b", 2)], { bytes: 100, files: 1 }, 9).map(({ name }) => name),
    ).toEqual(["a"]);
  });
});
