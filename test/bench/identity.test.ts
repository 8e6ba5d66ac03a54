// How the identity table explains an answer that differs in a batch.
import { expect, test } from "vitest";
import { type AnswerToken, differenceOf, largestRatio, summaryOf } from "../../bench/identity.ts";

const token = (text: string, ...others: [string, number][]): AnswerToken => ({
  token: text,
  logprob: Math.log(0.4),
  top_logprobs: [
    { token: text, logprob: Math.log(0.4) },
    ...others.map(([other, p]) => ({ token: other, logprob: Math.log(p) })),
  ],
});

test("a difference is explained when the batch's token was nearly as likely", () => {
  const answer = [token("the "), token("cat", ["dog", 0.39], ["cow", 0.2]), token(" sat")];
  const { ratio, ...rest } = differenceOf(7, answer, "the cat sat", "the dog ran");
  expect(rest).toEqual({ request: 7, alone: "cat", batch: "dog", isNear: true });
  expect(ratio).toBeCloseTo(0.4 / 0.39);
});

test("a difference with a large ratio is not explained", () => {
  const answer = [token("cat", ["dog", 0.39], ["cow", 0.2])];
  expect(differenceOf(0, answer, "cat", "cow")).toMatchObject({ batch: "cow", isNear: false });
});

test("both tokens are looked up, because the third answer may agree with the batch", () => {
  const answer = [token("dog", ["cat", 0.39])];
  expect(differenceOf(0, answer, "cat", "dog")).toMatchObject({ alone: "cat", batch: "dog", isNear: true });
});

test("a token that is not among the likeliest has no ratio", () => {
  const difference = differenceOf(0, [token("cat", ["dog", 0.39])], "cat", "elephants never");
  expect(difference).toEqual({ request: 0, alone: "cat", batch: "elephants ne", isNear: false });
});

test("the longest token that fits the batch's text is taken", () => {
  const answer = [token("x", ["a", 0.1], ["ab", 0.38])];
  expect(differenceOf(0, answer, "x", "abc").batch).toBe("ab");
});

test("an answer that only ends earlier is not explained", () => {
  expect(differenceOf(0, [token("a"), token("b")], "ab", "a")).toMatchObject({ batch: "", isNear: false });
});

test("the summary has the share of all requests and counts the unexplained ones", () => {
  const near = { request: 0, alone: "a", batch: "b", ratio: 1.01, isNear: true };
  const far = { request: 1, alone: "a", batch: "c", isNear: false };
  expect(
    summaryOf([
      { name: "x", requests: 10, same: 8, differences: [near, far] },
      { name: "y", requests: 10, same: 10, differences: [] },
    ]),
  ).toBe("the same in all: 18 of 20 (90.0 %); unexplained: 1");
  expect([largestRatio([near]), largestRatio([])]).toEqual([1.01, undefined]);
});
