// What the identity table makes of an answer that was another one in a batch.
import { expect, test } from "vitest";
import { differenceOf, type Said, shareLine, widest } from "../../bench/identity-report.ts";

const said = (token: string, ...others: [string, number][]): Said => ({
  token,
  logprob: Math.log(0.4),
  top_logprobs: [
    { token, logprob: Math.log(0.4) },
    ...others.map(([other, p]) => ({ token: other, logprob: Math.log(p) })),
  ],
});

test("a difference is explained by how near the batch's own token was", () => {
  const answer = [said("the "), said("cat", ["dog", 0.39], ["cow", 0.2]), said(" sat")];
  const { ratio, ...rest } = differenceOf(7, answer, "the cat sat", "the dog ran");
  expect(rest).toEqual({ request: 7, alone: "cat", batch: "dog", isNear: true });
  expect(ratio).toBeCloseTo(0.4 / 0.39);
});

test("one that is far off is told with its ratio, and is not explained", () => {
  const answer = [said("cat", ["dog", 0.39], ["cow", 0.2])];
  expect(differenceOf(0, answer, "cat", "cow")).toMatchObject({ batch: "cow", isNear: false });
});

test("both are looked up, for asked again the model may side with the batch", () => {
  const answer = [said("dog", ["cat", 0.39])];
  expect(differenceOf(0, answer, "cat", "dog")).toMatchObject({ alone: "cat", batch: "dog", isNear: true });
});

test("one that is not among the likeliest has no ratio", () => {
  const difference = differenceOf(0, [said("cat", ["dog", 0.39])], "cat", "elephants never");
  expect(difference).toEqual({ request: 0, alone: "cat", batch: "elephants ne", isNear: false });
});

test("the longest token the batch can have said is taken", () => {
  const answer = [said("x", ["a", 0.1], ["ab", 0.38])];
  expect(differenceOf(0, answer, "x", "abc").batch).toBe("ab");
});

test("an answer that only ended earlier is not explained", () => {
  expect(differenceOf(0, [said("a"), said("b")], "ab", "a")).toMatchObject({ batch: "", isNear: false });
});

test("the share is that of all requests, and what is unexplained is counted apart", () => {
  const near = { request: 0, alone: "a", batch: "b", ratio: 1.01, isNear: true };
  const far = { request: 1, alone: "a", batch: "c", isNear: false };
  expect(
    shareLine([
      { name: "x", requests: 10, same: 8, differences: [near, far] },
      { name: "y", requests: 10, same: 10, differences: [] },
    ]),
  ).toBe("the same in all: 18 of 20 (90.0 %); unexplained: 1");
  expect([widest([near]), widest([])]).toEqual([1.01, undefined]);
});
