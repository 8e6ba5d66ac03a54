// The answers of /v1/completions. Pure.
import type { Piece } from "../scheduler/generate.ts";
import { type Dialect, finite, type Head, type Json, knownTokens, textOf, usageOf } from "./reply.ts";

function logprobsOf(pieces: readonly Piece[]): Json | null {
  const tokens = knownTokens(pieces);
  if (tokens.length === 0) return null;
  let offset = 0;
  return {
    tokens: tokens.map(({ text }) => text),
    token_logprobs: tokens.map(({ logprob }) => finite(logprob)),
    top_logprobs: tokens.map(({ top = [] }) =>
      Object.fromEntries(top.map(({ text, logprob }) => [text, finite(logprob)])),
    ),
    text_offset: tokens.map(({ text }) => {
      const at = offset;
      offset += text.length;
      return at;
    }),
  };
}

const completion = (head: Head, choices: unknown[], rest: Json = {}): Json => {
  return { ...head, object: "text_completion", choices, ...rest };
};

export const plainDialect: Dialect = {
  idPrefix: "cmpl-",
  whole(head, all) {
    const choices = all.map(({ pieces, answered }, index) => {
      const text = textOf(pieces, "answer");
      return { index, text, logprobs: logprobsOf(pieces), finish_reason: answered.finish };
    });
    return completion(head, choices, { usage: usageOf(all.map(({ answered }) => answered)) });
  },
  chunk: (head, index, piece) =>
    completion(head, [{ index, text: piece.text, logprobs: logprobsOf([piece]), finish_reason: null }]),
  last: (head, index, { finish }) =>
    completion(head, [{ index, text: "", logprobs: null, finish_reason: finish }]),
  usage: (head, all) => completion(head, [], { usage: usageOf(all) }),
};
