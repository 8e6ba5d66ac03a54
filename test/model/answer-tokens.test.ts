// The tokens of an answer as text, in whatever form a server writes them.
import { expect, test } from "vitest";
import { type ReadToken, tokensOf } from "../../worker/model/answer-tokens.ts";
import { readProbabilities } from "../../worker/model/probabilities.ts";

/** One position: the token that the server names, and its alternatives in the server's order. */
const position = (named: string, alternatives: Record<string, number>): ReadToken => ({
  token: named,
  logprob: Math.log(alternatives[named] ?? 1),
  top_logprobs: Object.entries(alternatives).map(([token, p]) => ({ token, logprob: Math.log(p) })),
});
const chosen = (tokens: readonly ReadToken[]) =>
  tokens.map(({ token, bytes }) => (bytes ? Buffer.from(bytes).toString() : token));

test("mlx-lm names the first of a list in no order: the token that spells the answer was chosen", () => {
  const tokens = tokensOf(
    [position("The", { The: 0.03, No: 0.52, yes: 0.07 }), position("Ġ-", { "Ġ-": 0.01, ",": 0.9, Ċ: 0.01 })],
    "No,",
  );
  expect(chosen(tokens)).toEqual(["No", ","]);
  expect(tokens[0]!.logprob).toBeCloseTo(Math.log(0.52), 10);
});

test.for([
  ["GPT-2's signs for bytes", ["in", "Ġprogress"], "in progress", ["in", " progress"]],
  ["GPT-2's signs for half a character", ["Ġ", "æ", "ĺ¨"], " 昨", [" ", "\ufffd", "\ufffd\ufffd"]],
  ["pieces with a sign for the space", ["▁in", "▁progress"], "in progress", [" in", " progress"]],
  ["pieces that are single bytes", ["▁", "<0xE6>"], "\ufffd", [" ", "\ufffd"]],
  ["a special token", ["Ġyes", "<|im_end|>"], " yes", [" yes", "<|im_end|>"]],
] as [string, string[], string, string[]][])("%s become text", ([, named, text, expected]) => {
  expect(
    chosen(
      tokensOf(
        named.map((token) => position(token, { [token]: 0.9 })),
        text,
      ),
    ),
  ).toEqual(expected);
});

test("letters that only look like such signs stay letters", () => {
  for (const word of ["łódź", "ğ", "<0x", "ā"])
    expect(chosen(tokensOf([position(word, { [word]: 0.9 })], word))).toEqual([word]);
});

test("tokens with bytes stay as they are", () => {
  const token = { token: "Ġ", logprob: 0, bytes: [0xc4, 0xa0] };
  expect(tokensOf([{ ...token, top_logprobs: [token] }], "Ġ")).toEqual([{ ...token, top_logprobs: [token] }]);
});

test("where nothing spells the answer, as after a thought, the server's own tokens stand", () => {
  const tokens = [position("think", { think: 0.6, no: 0.4 }), position("no", { no: 0.9 })];
  expect(chosen(tokensOf(tokens, "yes"))).toEqual(["think", "no"]);
});

test("a decision between options of several words reads mlx-lm's tokens", () => {
  const tokens = tokensOf(
    [position("done", { done: 0.2, in: 0.8 }), position("Ġreview", { Ġreview: 0.25, Ġprogress: 0.75 })],
    "in progress",
  );
  const { probabilities } = readProbabilities(tokens, ["in progress", "in review", "done"]);
  expect(probabilities["in progress"]).toBeCloseTo(0.6, 10);
  expect(probabilities["in review"]).toBeCloseTo(0.2, 10);
  expect(probabilities.done).toBeCloseTo(0.2, 10);
});
