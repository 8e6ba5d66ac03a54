// The answers of /v1/chat/completions. What the model thought goes out as `reasoning_content`, beside the answer. Pure.
import type { Logprob } from "../generation/backend.ts";
import type { Piece } from "../scheduler/generate.ts";
import { type Dialect, finite, type Head, type Json, knownTokens, textOf, usageOf } from "./reply.ts";

const entry = ({ text, bytes, logprob }: Logprob) => ({
  token: text,
  logprob: finite(logprob),
  bytes: bytes ?? [...Buffer.from(text)],
});

function logprobsOf(pieces: readonly Piece[]): Json | null {
  const tokens = knownTokens(pieces);
  if (tokens.length === 0) return null;
  const content = tokens.map(({ top = [], ...token }) => {
    return { ...entry(token), top_logprobs: top.map(entry) };
  });
  return { content, refusal: null };
}

const chunk = (head: Head, choices: unknown[], rest: Json = {}): Json => {
  return { ...head, object: "chat.completion.chunk", choices, ...rest };
};

export const chatDialect: Dialect = {
  idPrefix: "chatcmpl-",
  whole(head, all) {
    const choices = all.map(({ pieces, answered }, index) => {
      const thought = textOf(pieces, "thought");
      const reasoning = thought === "" ? {} : { reasoning_content: thought };
      const message = { role: "assistant", content: textOf(pieces, "answer"), ...reasoning, refusal: null };
      return { index, message, logprobs: logprobsOf(pieces), finish_reason: answered.finish };
    });
    const usage = usageOf(all.map(({ answered }) => answered));
    return { ...head, object: "chat.completion", choices, usage };
  },
  first: (head, index) =>
    chunk(head, [{ index, delta: { role: "assistant", content: "" }, finish_reason: null }]),
  chunk(head, index, piece) {
    const delta = piece.thought ? { reasoning_content: piece.text } : { content: piece.text };
    return chunk(head, [{ index, delta, logprobs: logprobsOf([piece]), finish_reason: null }]);
  },
  last: (head, index, { finish }) =>
    chunk(head, [{ index, delta: {}, logprobs: null, finish_reason: finish }]),
  usage: (head, all) => chunk(head, [], { usage: usageOf(all) }),
};
