// How probable each option is, read from the tokens of an answer.

import { describe, expect, test } from "vitest";
import type { ReadToken } from "../../worker/model/engine-answer.ts";
import { readProbabilities } from "../../worker/model/probabilities.ts";
import fc from "../properties.ts";
import { logprobs } from "./engine-server.ts";

type Position = Record<string, number>;
const read = <T extends string>(positions: Position[], options: readonly T[], ended = true) =>
  readProbabilities(logprobs(...positions).content as ReadToken[], options, { ended });

describe("each option gets the probability of everything that can only become it", () => {
  const cases: [string, Position[], string[], Record<string, number>][] = [
    ["one token each", [{ y: 0.8, n: 0.2 }], ["y", "n"], { y: 0.8, n: 0.2 }],
    ["normalised over the options", [{ y: 0.6, n: 0.2, maybe: 0.2 }], ["y", "n"], { y: 0.75, n: 0.25 }],
    [
      "spaces, quotes and a capital do not count",
      [{ " y": 0.5, Y: 0.2, '"y': 0.1, " N": 0.2 }],
      ["y", "n"],
      { y: 0.8, n: 0.2 },
    ],
    [
      "tokenizers' own marks for a space do not count",
      [{ "▁yes": 0.5, Ġno: 0.5 }],
      ["yes", "no"],
      { yes: 0.5, no: 0.5 },
    ],
    ["what completes an option", [{ "yes.": 0.7, "no\n": 0.3 }], ["yes", "no"], { yes: 0.7, no: 0.3 }],
    [
      "another word that begins like it is not it",
      [{ yes: 0.4, yesterday: 0.5, no: 0.1 }],
      ["yes", "no"],
      { yes: 0.8, no: 0.2 },
    ],
    ["the beginning of a long option", [{ ne: 0.9, "1": 0.1 }], ["1", "new"], { "1": 0.1, new: 0.9 }],
    [
      "an answer that begins with a space of its own",
      [
        { " ": 0.9, y: 0.1 },
        { n: 0.7, y: 0.3 },
      ],
      ["y", "n"],
      { y: 0.1 + 0.27, n: 0.63 },
    ],
    [
      "1 or 10: followed along the path",
      [
        { "1": 0.8, "2": 0.2 },
        { "0": 0.75, "<|im_end|>": 0.25 },
      ],
      ["1", "2", "10"],
      { "1": 0.2, "2": 0.2, "10": 0.6 },
    ],
    [
      "1 or 10: the end of the turn means 1",
      [
        { "1": 0.8, "2": 0.2 },
        { "": 0.9, "0": 0.1 },
      ],
      ["1", "2", "10"],
      { "1": 0.72, "2": 0.2, "10": 0.08 },
    ],
    [
      "1 or 10: an answer that just ends means 1",
      [{ "1": 0.8, "2": 0.2 }],
      ["1", "2", "10"],
      { "1": 0.8, "2": 0.2, "10": 0 },
    ],
    [
      "what stays open off the path is shared",
      [{ "2": 0.6, "1": 0.4 }],
      ["1", "2", "10"],
      { "1": 0.2, "2": 0.6, "10": 0.2 },
    ],
    [
      "options of several tokens that begin alike",
      [
        { shop: 0.9, home: 0.1 },
        { "ping list": 0.6, keeper: 0.4 },
      ],
      ["shopping list", "shopkeeper", "home"],
      { "shopping list": 0.54, shopkeeper: 0.36, home: 0.1 },
    ],
    ["Japanese", [{ はい: 0.7, いいえ: 0.3 }], ["はい", "いいえ"], { はい: 0.7, いいえ: 0.3 }],
    ["Japanese runs on without spaces", [{ はいです: 1 }], ["はい", "いいえ"], { はい: 1, いいえ: 0 }],
    [
      "one that goes on as another",
      [{ 牛乳: 0.7, 肉: 0.3 }],
      ["牛", "牛乳", "肉"],
      { 牛: 0, 牛乳: 0.7, 肉: 0.3 },
    ],
    ["options that differ in their case only", [{ a: 0.7, A: 0.3 }], ["a", "A"], { a: 0.7, A: 0.3 }],
  ];
  test.for(cases)("%s", ([, positions, options, expected]) => {
    const { probabilities } = read(positions, options);
    for (const [option, share] of Object.entries(expected))
      expect(probabilities[option], option).toBeCloseTo(share, 10);
  });

  test("a token that is half a letter is read by its bytes", () => {
    const [first, second] = [
      [0xe3, 0x81],
      [0xaf, 0xe3, 0x81, 0x84],
    ];
    const token = (bytes: number[]) => ({ token: "\ufffd", logprob: 0, bytes });
    const other = { token: "いいえ", logprob: Math.log(0.25), bytes: null };
    const took = { ...token(first!), logprob: Math.log(0.75) };
    const tokens = [
      { ...took, top_logprobs: [took, other] },
      { ...token(second!), top_logprobs: [token(second!)] },
    ];
    expect(readProbabilities(tokens, ["はい", "いいえ"]).probabilities).toEqual({
      はい: expect.closeTo(0.75, 10),
      いいえ: expect.closeTo(0.25, 10),
    });
  });

  test("half a letter without any text of its own is read by its bytes too, and is no end", () => {
    const half = { token: "", logprob: Math.log(0.75), bytes: [0xe3, 0x81] };
    const other = { token: "\ufffd", logprob: Math.log(0.25), bytes: [0xe3, 0x83] };
    const whole = { token: "は", logprob: 0, bytes: [0xaf] };
    const tokens = [
      { ...half, top_logprobs: [{ ...half, token: "\ufffd" }, other] },
      { ...whole, top_logprobs: [whole] },
    ];
    expect(readProbabilities(tokens, ["はい", "いいえ", "ロック"]).probabilities).toEqual({
      はい: expect.closeTo(0.75, 10),
      いいえ: 0,
      ロック: expect.closeTo(0.25, 10),
    });
  });

  test("half a quote first says nothing yet", () => {
    const [half, rest] = [
      { token: "", logprob: 0, bytes: [0xe3, 0x80] },
      { token: "「", logprob: 0, bytes: [0x8c] },
    ];
    const yes = { token: "はい", logprob: 0, bytes: null };
    const tokens = [half, rest, yes].map((token) => ({ ...token, top_logprobs: [token] }));
    expect(readProbabilities(tokens, ["はい", "いいえ"]).probabilities).toEqual({ はい: 1, いいえ: 0 });
  });

  test("the share that stays open between options is reported", () => {
    const { covered, shared } = read([{ "1": 0.6, "2": 0.3, x: 0.1 }], ["1", "10", "2"], false);
    expect([covered, shared]).toEqual([expect.closeTo(0.9, 10), expect.closeTo(0.6, 10)]);
  });

  test("an answer that was cut off between 1 and 10 is shared between them", () => {
    expect(read([{ "1": 1 }], ["1", "10"], false).probabilities).toEqual({ "1": 0.5, "10": 0.5 });
  });
});

describe("a model that was about to say something else", () => {
  test("has no opinion on the options: they are equal, and little probability is on them", () => {
    const { probabilities, covered } = read([{ The: 0.97, y: 0.02, n: 0.01 }], ["y", "n"]);
    expect(probabilities).toEqual({ y: 0.5, n: 0.5 });
    expect(covered).toBeCloseTo(0.03, 10);
  });

  test("no tokens at all", () => {
    expect(readProbabilities([], ["y", "n"])).toEqual({
      probabilities: { y: 0.5, n: 0.5 },
      covered: 0,
      shared: 0,
    });
  });
});

test("whatever the tokens: the probabilities are some, none is negative, and they add up to 1", () => {
  const word = fc.oneof(
    fc.constantFrom("1", "0", "10", " ", '"', "y", "yes", "n", "new", "は", "<|e|>", ""),
    fc.string({ maxLength: 4 }),
  );
  const alternative = fc.record({ token: word, logprob: fc.double({ min: -30, max: 0, noNaN: true }) });
  const position = fc
    .tuple(alternative, fc.array(alternative, { maxLength: 5 }))
    .map(([taken, others]) => ({ ...taken, top_logprobs: [taken, ...others] }));
  const options = fc.uniqueArray(
    fc.constantFrom("1", "10", "100", "y", "yes", "n", "new", "No", "はい", "は"),
    { minLength: 1 },
  );
  fc.assert(
    fc.property(fc.array(position, { maxLength: 6 }), options, fc.boolean(), (tokens, names, ended) => {
      const { probabilities, covered } = readProbabilities(tokens, names, { ended });
      const shares = Object.values(probabilities);
      expect(shares).toHaveLength(names.length);
      expect(shares.every((share) => share >= 0 && share <= 1 + 1e-9)).toBe(true);
      expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 6);
      expect(covered).toBeGreaterThanOrEqual(0);
      expect(covered).toBeLessThanOrEqual(1);
    }),
    { numRuns: 300 },
  );
});

test("spelling an option out in any cut of tokens, alone, makes it certain", () => {
  const options = ["1", "10", "12", "new", "newer", "はい"] as const;
  const cuts = fc.tuple(fc.constantFrom(...options), fc.array(fc.nat(6), { maxLength: 3 }));
  fc.assert(
    fc.property(cuts, ([option, at]) => {
      const bounds = [0, ...at, option.length].toSorted((a, b) => a - b);
      const pieces = bounds.slice(1).map((to, index) => option.slice(bounds[index], to));
      const tokens = pieces
        .filter((piece) => piece !== "")
        .map((token) => ({ token, logprob: 0, top_logprobs: [{ token, logprob: 0 }] }));
      expect(readProbabilities(tokens, options).probabilities[option]).toBe(1);
    }),
  );
});
