// Text as it is cut for a model, and quotes as they are found again.
import { describe, expect, test } from "vitest";
import { chunkText, sentenceFinder, sentences } from "../../worker/job/text.ts";
import fc from "../properties.ts";
import { growthOf, stepsOf } from "../steps.ts";

const findSentence = (text: string, quote: string) => sentenceFinder(text)(quote);

describe("sentences", () => {
  test.for([
    ["It rained. We stayed in! Why? Nobody knows.", ["It rained.", "We stayed in!", "Why?", "Nobody knows."]],
    ["雨だった。家にいた！なぜ？", ["雨だった。", "家にいた！", "なぜ？"]],
    ["One line\nanother line\n\nthe last", ["One line", "another line", "the last"]],
    ["They will report on it. 7 people took part.", ["They will report on it.", "7 people took part."]],
    ['He said "no." 7 people left.', ['He said "no."', "7 people left."]],
    ["It costs 3.50 a loaf. 40 are sold.", ["It costs 3.50 a loaf.", "40 are sold."]],
    ["Dr. Sato met J. Smith at St. Paul. They ate.", ["Dr. Sato met J. Smith at St. Paul.", "They ate."]],
    ["See Fig. 3 on p. 12 of No. 7. Then go.", ["See Fig. 3 on p. 12 of No. 7.", "Then go."]],
    ["Open from Jan. 5 to Feb. 7. Closed then.", ["Open from Jan. 5 to Feb. 7.", "Closed then."]],
    ["  \n ", []],
    ["", []],
  ] as const)("%j", ([text, expected]) => {
    expect(sentences(text)).toEqual(expected);
  });
});

describe("a long text in parts", () => {
  test("ends each part on a sentence", () => {
    expect(chunkText("One two. Three four. Five six.", 20)).toEqual(["One two. Three four.", "Five six."]);
  });

  test("a sentence longer than a part is cut, between words if possible", () => {
    expect(chunkText("aaaa bbbb cccc dddd", 10)).toEqual(["aaaa bbbb", "cccc dddd"]);
    expect(chunkText("あ".repeat(25), 10)).toEqual(["あ".repeat(10), "あ".repeat(10), "あ".repeat(5)]);
    expect(chunkText("🍞".repeat(3), 3)).toEqual(["🍞", "🍞", "🍞"]);
  });

  test("no part is too long, and no letter is lost, added or moved", () => {
    const piece = fc.oneof(
      fc.constantFrom(" ", "\n", ". ", "。", "Dr. ", "7 ", "🍞"),
      fc.string({ maxLength: 8 }),
    );
    const letters = (text: string) => text.replaceAll(/\s+/g, "");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), fc.integer({ min: 2, max: 40 }), (pieces, size) => {
        const text = pieces.join("");
        const parts = chunkText(text, size);
        expect(Math.max(0, ...parts.map((part) => part.length))).toBeLessThanOrEqual(size);
        expect(letters(parts.join(""))).toBe(letters(text));
      }),
    );
  });
});

describe("a quote", () => {
  const TEXT = `The bakery opened in 1977. "It sells 1,200 loaves," said Dr. Sato. Each costs 3.5 euros.
毎日７人が働く。パンは四十個。`;

  test.for([
    ["it sells 1200 loaves said dr sato", '"It sells 1,200 loaves," said Dr. Sato.'],
    ["The  bakery\nopened in 1977", "The bakery opened in 1977."],
    ["bakery", "The bakery opened in 1977."],
    ["1977", "The bakery opened in 1977."],
    ["3.5", "Each costs 3.5 euros."],
    ["1,200", '"It sells 1,200 loaves," said Dr. Sato.'],
    ["7人が働く", "毎日７人が働く。"],
    ["四十個", "パンは四十個。"],
    ["働く。パンは", "毎日７人が働く。 パンは四十個。"],
    [
      "opened in 1977. It sells 1,200 loaves, said Dr. Sato",
      'The bakery opened in 1977. "It sells 1,200 loaves," said Dr. Sato.',
    ],
  ] as const)("is found however it was retyped: %j", ([quote, sentence]) => {
    expect(findSentence(TEXT, quote)).toBe(sentence);
  });

  test.for(["77", "197", "5", "200", "bake", "loaf", "九人", "The bakery closed in 1977", "", "?!"])(
    "that the text does not hold is not found: %j",
    (quote) => {
      expect(findSentence(TEXT, quote)).toBeNull();
    },
  );

  test("a number is whole: 7 is in none of 1977, 3.7 and 17", () => {
    expect(findSentence("In 1977 it cost 3.7. Then 17 came.", "7")).toBeNull();
    expect(findSentence("In 1977 it was 7.", "7")).toBe("In 1977 it was 7.");
  });

  test("a word in which a hyphen stands that nobody sees is found", () => {
    expect(findSentence("A mara\u00adthon was\u200b run.", "marathon was run")).toBe(
      "A mara\u00adthon was\u200b run.",
    );
  });

  test("every sentence of a text finds itself", () => {
    const sentence = fc.constantFrom(
      "It rained.",
      "7 people came.",
      "卵は二つ。",
      "Dr. Sato left!",
      "No. 5 is mine.",
    );
    fc.assert(
      fc.property(fc.array(sentence, { minLength: 1, maxLength: 6 }), (all) => {
        const text = all.join(" ");
        for (const one of sentences(text)) expect(findSentence(text, one)).toBe(one);
      }),
    );
  });
});

// Four times the text may cost five times the steps; quadratic work costs sixteen times as many.
describe("the steps grow in proportion to the text, however it repeats itself", () => {
  const REPEATED = [
    "Mr. ",
    "A. ",
    "Dr. X. ",
    "no. 1 ",
    "a",
    " ",
    ". ",
    "7. ",
    '." ',
    "\n",
    "e\u0301\u0316",
    "\ufdfa",
    "1,000",
  ];
  const piece = fc.oneof(
    fc.constantFrom(...REPEATED),
    fc.string({ minLength: 1, maxLength: 3, unit: "binary" }),
  );
  const repeated = fc.array(piece, { minLength: 1, maxLength: 3 }).map((pieces) => pieces.join(""));
  test.for(REPEATED)("of %j", (pattern) => {
    expect(growthOf((text) => chunkText(text, 100), pattern)).toBeLessThan(5);
    expect(growthOf((text) => findSentence(text, "no. 1"), pattern)).toBeLessThan(5);
  });

  test("of any pattern", () => {
    fc.assert(
      fc.property(repeated, (pattern) => {
        expect(growthOf((text) => chunkText(text, 100), pattern)).toBeLessThan(5);
        expect(growthOf((text) => findSentence(text, "no. 1"), pattern)).toBeLessThan(5);
      }),
      { numRuns: 60 },
    );
  });

  test("of the quotes that are looked for in one text, which is cut up once", () => {
    const text = "It rained. ".repeat(400);
    const steps = (quotes: number) =>
      stepsOf(() => {
        const find = sentenceFinder(text);
        for (let at = 0; at < quotes; at += 1) find("it rained");
      });
    expect(steps(40) - steps(20)).toBeLessThan(steps(20));
  });

  test("a normal form never has more than 30 marks on one letter to put in order, which would take quadratic time", () => {
    const longest: number[] = [];
    const { normalize } = String.prototype;
    const zalgo = `a${"\u0301\u0316".repeat(2_000)}. It rained.`;
    String.prototype.normalize = function (form?: string) {
      longest.push(...(String(this).match(/(?:(?!\u034f)\p{M})+/gu) ?? []).map((marks) => marks.length));
      return normalize.call(this, form);
    };
    try {
      expect(findSentence(zalgo, "it rained")).toBe("It rained.");
      expect(findSentence(zalgo, `a${"\u0301\u0316".repeat(2_000)}`)).not.toBeNull();
    } finally {
      String.prototype.normalize = normalize;
    }
    expect(Math.max(...longest)).toBeLessThanOrEqual(30);
  });
});
