import { describe, expect, test } from "vitest";
import { dataIn, Stream } from "../../../../worker/engine/backends/llama-server/stream.ts";
import type { Token } from "../../../../worker/engine/generation/backend.ts";

describe("an answer of llama-server", () => {
  function read(
    events: object[],
    { topLogprobs, until = Infinity }: { topLogprobs?: number; until?: number } = {},
  ) {
    const tokens: Token[] = [];
    const stream = new Stream((token) => tokens.push(token) < until, topLogprobs);
    const asked = events.findIndex((event) => !stream.push(event));
    return { tokens, stream, asked };
  }
  const token = (content: string, id: number, count: number) => {
    return { content, tokens: [id], tokens_predicted: count, stop: false };
  };
  const end = (stop_type: string, count: number) => ({ stop: true, stop_type, tokens_predicted: count });

  test("the token that ends it is no part of it, but counts", () => {
    const { tokens, stream } = read([token("a", 1, 1), token("", 9, 2), end("eos", 2)]);
    expect(tokens).toEqual([{ text: "a" }]);
    expect(stream).toMatchObject({ finish: "stop", completionTokens: 2, tokens: [1, 9] });
  });

  test("a token without text that is not the end comes with the next", () => {
    const { tokens } = read([token("", 7, 1), token("b", 2, 2), end("limit", 2)]);
    expect(tokens).toEqual([{ text: "" }, { text: "b" }]);
  });

  test.each([
    ["limit", "length"],
    ["word", "stop"],
    ["eos", "stop"],
  ])("%s is %s", (type, finish) => expect(read([end(type, 3)]).stream.finish).toBe(finish));

  test("what was cached is known before the first token", () => {
    const { stream } = read([{ prompt_progress: { cache: 40, total: 50, processed: 40 } }, end("eos", 1)]);
    expect(stream.cachedTokens).toBe(40);
  });

  test("nothing is read after the client has enough", () => {
    const { tokens, asked, stream } = read([token("a", 1, 1), token("b", 2, 2), token("c", 3, 3)], {
      until: 2,
    });
    expect([tokens.length, asked, stream.finish]).toEqual([2, 1, "stop"]);
  });

  test("what the slot holds is known up to a character of several tokens", () => {
    expect(read([token("a", 1, 1), token("é", 3, 3), token("b", 4, 4)]).stream.tokens).toEqual([1]);
  });

  test("probabilities come with their token, as many as were asked for", () => {
    const top_logprobs = [
      { token: "?", bytes: [195, 169], logprob: -0.1 },
      { token: "b", logprob: -3 },
    ];
    const probabilities = { completion_probabilities: [{ token: "?", logprob: -0.1, top_logprobs }] };
    const { tokens } = read([{ ...token("é", 1, 1), ...probabilities }], { topLogprobs: 1 });
    expect(tokens).toEqual([{ text: "é", logprob: -0.1, top: [{ text: "é", logprob: -0.1 }] }]);
  });

  test.each([
    ['data: {"a":1}', { a: 1 }],
    [": ping", undefined],
    ["data: [DONE]", undefined],
    ['error: {"code":500}', { error: { code: 500 } }],
  ])("%s", (block, data) => expect(dataIn(block)).toEqual(data));
});
