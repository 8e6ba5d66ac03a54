// Reading the JSON in a model's answer.

import { expect, test } from "vitest";
import { readJson, withoutThoughts } from "../../worker/model/read-json.ts";
import fc from "../properties.ts";
import { growthOf } from "../steps.ts";

test.for([
  ['{"a":1}', { a: 1 }],
  [' \n{"a":1}\n', { a: 1 }],
  ['```json\n{"a":1}\n```', { a: 1 }],
  ["Here it is:\n```\n[1,2]\n```\nI hope it helps.", [1, 2]],
  ['The answer is {"a":"}"} as you asked.', { a: "}" }],
  ['<think>{"a":0}? No.</think>{"a":1}', { a: 1 }],
  ['so {"a":0}\n</think>\n\n{"a":1}', { a: 1 }],
  ['{"a":"<think>not a thought</think>"}', { a: "<think>not a thought</think>" }],
  ['{not json} {"a":1}', { a: 1 }],
  ['{"a":"\\"}"} {', { a: '"}' }],
  ["7", 7],
  ['"word"', "word"],
] as const)("%j", ([answer, value]) => {
  expect(readJson(answer)).toEqual({ is: "json", value });
});

test("a number in an answer keeps its digits, or the schema refuses it; it is never another one", () => {
  expect(readJson('{"id":9007199254740993}')).toEqual({ is: "json", value: { id: "9007199254740993" } });
});

test.for([
  ["", "empty"],
  ["  ", "empty"],
  ["I would rather not.", "not JSON"],
  ['{"a":', "not JSON"],
  ['<think>{"a":1}', "not JSON"],
] as const)("%j is refused, and the reason is told", ([answer, reason]) => {
  expect(readJson(answer)).toEqual({ is: "none", reason: expect.stringContaining(reason) });
});

test.for([
  ["<think>hm</think> yes ", "yes"],
  ["hm</think>yes", "yes"],
  ["<think>hm", ""],
  [" yes ", "yes"],
] as const)("thoughts are no answer: %j", ([answer, text]) => {
  expect(withoutThoughts(answer)).toBe(text);
});

test("any value is found, in a code fence and between words", () => {
  const wrap = fc.constantFrom(
    (json: string) => json,
    (json: string) => `\`\`\`json\n${json}\n\`\`\``,
    (json: string) => `Sure! ${json} There you are.`,
  );
  const value = fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.array(fc.jsonValue()));
  fc.assert(
    fc.property(value, wrap, (one, wrapped) => {
      const json = JSON.stringify(one);
      expect(readJson(wrapped(json))).toEqual({ is: "json", value: JSON.parse(json) });
    }),
  );
});

test("a long run of braces and quotes ends", () => {
  for (const nasty of ["{", '"', '\\"', '{"', "```"]) readJson(nasty.repeat(50_000));
});

test.for(["{", '"', '\\"', '{"', "[1,", "```", "</think>", "<think>", "{}", " "])(
  "the steps grow in proportion to the answer: %j",
  (pattern) => {
    expect(growthOf(readJson, pattern)).toBeLessThan(5);
  },
);
