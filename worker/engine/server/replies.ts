// What goes out: answers in the shapes of OpenAI's two endpoints, whole or as the chunks of a stream. Pure. Errors have
// their own shape, in openai-errors.ts.
import type { Logprob, Token } from "../generation/backend.ts";
import type { Answered, Piece } from "../scheduler/generate.ts";

export type Json = Record<string, unknown>;
export type Head = { id: string; created: number; model: string };
/** One complete answer of a request. */
export type Choice = { pieces: readonly Piece[]; answered: Answered };
/** How one endpoint writes its answers. `index` is the number of an answer within its request. */
export type ReplyFormat = {
  idPrefix: string;
  whole(head: Head, choices: readonly Choice[]): Json;
  first?(head: Head, index: number): Json;
  chunk(head: Head, index: number, piece: Piece): Json;
  last(head: Head, index: number, answered: Answered): Json;
  usage(head: Head, all: readonly Answered[]): Json;
};

/** /v1/chat/completions. A thought goes out as `reasoning_content`, beside the answer. */
export const chatFormat: ReplyFormat = {
  idPrefix: "chatcmpl-",
  whole(head, all) {
    const choices = all.map(({ pieces, answered }, index) => {
      const thought = textOf(pieces, "thought");
      const reasoning = thought === "" ? {} : { reasoning_content: thought };
      const message = { role: "assistant", content: textOf(pieces, "answer"), ...reasoning, refusal: null };
      return { index, message, logprobs: chatLogprobs(pieces), finish_reason: answered.finish };
    });
    const usage = usageOf(all.map(({ answered }) => answered));
    return { ...head, object: "chat.completion", choices, usage };
  },
  first: (head, index) =>
    chatChunk(head, [{ index, delta: { role: "assistant", content: "" }, finish_reason: null }]),
  chunk(head, index, piece) {
    const delta = piece.thought ? { reasoning_content: piece.text } : { content: piece.text };
    return chatChunk(head, [{ index, delta, logprobs: chatLogprobs([piece]), finish_reason: null }]);
  },
  last: (head, index, { finish }) =>
    chatChunk(head, [{ index, delta: {}, logprobs: null, finish_reason: finish }]),
  usage: (head, all) => chatChunk(head, [], { usage: usageOf(all) }),
};

const chatChunk = (head: Head, choices: unknown[], rest: Json = {}): Json => {
  return { ...head, object: "chat.completion.chunk", choices, ...rest };
};

function chatLogprobs(pieces: readonly Piece[]): Json | null {
  const tokens = tokensWithLogprob(pieces);
  if (tokens.length === 0) return null;
  const entry = ({ text, bytes, logprob }: Logprob) => {
    const token = bytes ? escaped(bytes) : text;
    return { token, logprob: finite(logprob), bytes: bytes ?? [...Buffer.from(text)] };
  };
  const content = tokens.map(({ top = [], ...token }) => {
    return { ...entry(token), top_logprobs: top.map(entry) };
  });
  return { content, refusal: null };
}

/** How OpenAI writes a token that is a part of a character: `\\xe7\\x89`. */
const escaped = (bytes: readonly number[]) =>
  bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");

/** /v1/completions. */
export const completionFormat: ReplyFormat = {
  idPrefix: "cmpl-",
  whole(head, all) {
    const choices = all.map(({ pieces, answered }, index) => {
      const text = textOf(pieces, "answer");
      return { index, text, logprobs: completionLogprobs(pieces), finish_reason: answered.finish };
    });
    return completion(head, choices, { usage: usageOf(all.map(({ answered }) => answered)) });
  },
  chunk(head, index, piece) {
    const logprobs = completionLogprobs([piece]);
    return completion(head, [{ index, text: piece.text, logprobs, finish_reason: null }]);
  },
  last: (head, index, { finish }) =>
    completion(head, [{ index, text: "", logprobs: null, finish_reason: finish }]),
  usage: (head, all) => completion(head, [], { usage: usageOf(all) }),
};

const completion = (head: Head, choices: unknown[], rest: Json = {}): Json => {
  return { ...head, object: "text_completion", choices, ...rest };
};

function completionLogprobs(pieces: readonly Piece[]): Json | null {
  const tokens = tokensWithLogprob(pieces);
  if (tokens.length === 0) return null;
  let offset = 0;
  return {
    tokens: tokens.map(nameOf),
    token_logprobs: tokens.map(({ logprob }) => finite(logprob)),
    top_logprobs: tokens.map(({ top = [] }) =>
      Object.fromEntries(top.map((one) => [nameOf(one), finite(one.logprob)])),
    ),
    text_offset: tokens.map(({ text }) => {
      const at = offset;
      offset += text.length;
      return at;
    }),
  };
}

/** This endpoint has no `bytes`, so OpenAI writes them into the token: `bytes:\\xe7\\x89`. */
const nameOf = ({ text, bytes }: Pick<Logprob, "text" | "bytes">) =>
  bytes ? `bytes:${escaped(bytes)}` : text;

function textOf(pieces: readonly Piece[], which: "thought" | "answer"): string {
  const wanted = pieces.filter(({ thought = false }) => thought === (which === "thought"));
  return wanted.map(({ text }) => text).join("");
}

function tokensWithLogprob(pieces: readonly Piece[]): (Token & { logprob: number })[] {
  return pieces
    .flatMap(({ tokens }) => tokens)
    .filter((token): token is Token & { logprob: number } => token.logprob !== undefined);
}

/** JSON has no -Infinity. OpenAI writes -9999 for a token that cannot be. */
const finite = (logprob: number) => Math.max(-9_999, logprob);

/** The answers share one prompt: it counts once, and as cached only where no answer had to evaluate it. */
function usageOf(all: readonly Answered[]): Json {
  const sum = (of: (answered: Answered) => number) => all.reduce((total, one) => total + of(one), 0);
  const promptTokens = all[0]!.promptTokens;
  const completionTokens = sum((one) => one.completionTokens);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
    prompt_tokens_details: { cached_tokens: Math.min(...all.map((one) => one.cachedTokens)) },
    completion_tokens_details: { reasoning_tokens: sum((one) => one.reasoningTokens) },
  };
}
