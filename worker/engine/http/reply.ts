// The way out: pieces and an outcome in OpenAI's shapes, whole or as chunks of a stream. Pure.
import type { Logprob, Outcome, Token } from "../backend.ts";
import type { Piece } from "../core.ts";

export type Head = { id: string; created: number; model: string };
type Json = Record<string, unknown>;
/** How one endpoint writes its answers. */
export type Dialect = {
  idPrefix: string;
  whole(head: Head, pieces: readonly Piece[], outcome: Outcome): Json;
  first?(head: Head): Json;
  chunk(head: Head, piece: Piece): Json;
  last(head: Head, outcome: Outcome): Json;
  usage(head: Head, outcome: Outcome): Json;
};

const textOf = (pieces: readonly Piece[]) => pieces.map(({ text }) => text).join("");
const tokensOf = (pieces: readonly Piece[]) => pieces.flatMap(({ tokens }) => tokens);

export function usageOf({ promptTokens, cachedTokens, completionTokens }: Outcome): Json {
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: cachedTokens },
  };
}

// JSON has no -Infinity; OpenAI says -9999 for a token that cannot be.
const finite = (logprob: number) => Math.max(-9_999, logprob);
const entry = ({ text, logprob }: Logprob) => ({
  token: text,
  logprob: finite(logprob),
  bytes: [...Buffer.from(text)],
});

function chatLogprobs(tokens: readonly Token[]): Json | null {
  const known = tokens.filter(({ logprob }) => logprob !== undefined);
  if (known.length === 0) return null;
  const content = known.map(({ text, logprob, top = [] }) => {
    return { ...entry({ text, logprob: logprob! }), top_logprobs: top.map(entry) };
  });
  return { content, refusal: null };
}

const chunkOf = (head: Head, choices: unknown[], rest: Json = {}): Json => {
  return { ...head, object: "chat.completion.chunk", choices, ...rest };
};

export const chatDialect: Dialect = {
  idPrefix: "chatcmpl-",
  whole(head, pieces, outcome) {
    const message = { role: "assistant", content: textOf(pieces), refusal: null };
    const logprobs = chatLogprobs(tokensOf(pieces));
    const choices = [{ index: 0, message, logprobs, finish_reason: outcome.finish }];
    return { ...head, object: "chat.completion", choices, usage: usageOf(outcome) };
  },
  first: (head) =>
    chunkOf(head, [{ index: 0, delta: { role: "assistant", content: "" }, finish_reason: null }]),
  chunk: (head, { text, tokens }) =>
    chunkOf(head, [
      { index: 0, delta: { content: text }, logprobs: chatLogprobs(tokens), finish_reason: null },
    ]),
  last: (head, { finish }) => chunkOf(head, [{ index: 0, delta: {}, logprobs: null, finish_reason: finish }]),
  usage: (head, outcome) => chunkOf(head, [], { usage: usageOf(outcome) }),
};

function plainLogprobs(tokens: readonly Token[]): Json | null {
  const known = tokens.filter(({ logprob }) => logprob !== undefined);
  if (known.length === 0) return null;
  let offset = 0;
  return {
    tokens: known.map(({ text }) => text),
    token_logprobs: known.map(({ logprob }) => finite(logprob!)),
    top_logprobs: known.map(({ top = [] }) =>
      Object.fromEntries(top.map(({ text, logprob }) => [text, finite(logprob)])),
    ),
    text_offset: known.map(({ text }) => {
      const at = offset;
      offset += text.length;
      return at;
    }),
  };
}

const plainOf = (head: Head, choices: unknown[], rest: Json = {}): Json => {
  return { ...head, object: "text_completion", choices, ...rest };
};

export const plainDialect: Dialect = {
  idPrefix: "cmpl-",
  whole: (head, pieces, outcome) =>
    plainOf(
      head,
      [
        {
          index: 0,
          text: textOf(pieces),
          logprobs: plainLogprobs(tokensOf(pieces)),
          finish_reason: outcome.finish,
        },
      ],
      { usage: usageOf(outcome) },
    ),
  chunk: (head, { text, tokens }) =>
    plainOf(head, [{ index: 0, text, logprobs: plainLogprobs(tokens), finish_reason: null }]),
  last: (head, { finish }) => plainOf(head, [{ index: 0, text: "", logprobs: null, finish_reason: finish }]),
  usage: (head, outcome) => plainOf(head, [], { usage: usageOf(outcome) }),
};
