// Tokens that are parts of a character, in the shapes of OpenAI's two endpoints.
import { expect, test } from "vitest";
import { chatFormat, completionFormat } from "../../../worker/engine/server/replies.ts";

const head = { id: "x", created: 0, model: "m" };
const answered = {
  finish: "stop" as const,
  promptTokens: 1,
  cachedTokens: 0,
  completionTokens: 2,
  reasoningTokens: 0,
};
// 牛 is E7 89 9B.
const tokens = [
  { text: "", bytes: [0xe7, 0x89], logprob: -1, top: [{ text: "\ufffd", bytes: [0xe7, 0x89], logprob: -1 }] },
  {
    text: "牛",
    bytes: [0x9b],
    logprob: -2,
    top: [
      { text: "\ufffd", bytes: [0x9b], logprob: -2 },
      { text: "\ufffd", bytes: [0x0a, 0x9c], logprob: -3 },
    ],
  },
];
// biome-ignore lint/suspicious/noExplicitAny: what goes out is plain JSON
const choiceOf = (whole: Record<string, any>) => whole.choices[0];
const choices = [{ pieces: tokens.map((token) => ({ text: token.text, tokens: [token] })), answered }];

test("a part of a character is written as its bytes in a chat's logprobs", () => {
  const choice = choiceOf(chatFormat.whole(head, choices));
  const content: { token: string; bytes: number[]; top_logprobs: { token: string }[] }[] =
    choice.logprobs.content;
  expect(choice.message.content).toBe("牛");
  expect(content.map(({ token, bytes }) => [token, bytes])).toEqual([
    ["\\xe7\\x89", [0xe7, 0x89]],
    ["\\x9b", [0x9b]],
  ]);
  expect(content[1]!.top_logprobs.map(({ token }) => token)).toEqual(["\\x9b", "\\x0a\\x9c"]);
});

test("in a completion's logprobs, alternatives that are parts of a character do not hide each other", () => {
  const choice = choiceOf(completionFormat.whole(head, choices));
  expect(choice.text).toBe("牛");
  expect(choice.logprobs.tokens).toEqual(["bytes:\\xe7\\x89", "bytes:\\x9b"]);
  expect(choice.logprobs.top_logprobs[1]).toEqual({ "bytes:\\x9b": -2, "bytes:\\x0a\\x9c": -3 });
});
