// What goes out: answers in the shapes of OpenAI's endpoints for chats and completions, whole or as the chunks of a stream. Pure.
// /v1/responses has its own shapes, in response-replies.ts, and so have errors, in openai-errors.ts.
import type { Logprob, Token } from "../generation/backend.ts";
import type { Answered } from "../scheduler/generate.ts";
import type { Piece } from "../scheduler/piece.ts";
import type { OpenAiError } from "./openai-errors.ts";

export type Json = Record<string, unknown>;
export type Head = { id: string; created: number; model: string };
/** One complete answer of a request. */
export type Choice = { pieces: readonly Piece[]; answered: Answered };
/** How one endpoint writes its answers. `index` is the number of an answer within its request. */
export type ReplyFormat = {
  idPrefix: string;
  whole(head: Head, choices: readonly Choice[]): Json;
  stream(head: Head, includeUsage: boolean): ReplyStream;
};
/** The events of one streamed reply. A text is sent as it is. */
export type ReplyStream = {
  first(index: number): Json[];
  piece(index: number, piece: Piece): Json[];
  last(index: number, answered: Answered): Json[];
  /** Once all answers have ended. */
  end(all: readonly Answered[]): (Json | string)[];
  /** In place of the rest, when an answer failed. */
  failed(error: OpenAiError): Json[];
};

const DONE = "[DONE]";

/** /v1/chat/completions. A thought goes out as `reasoning_content`, beside the answer. */
export const chatFormat: ReplyFormat = {
  idPrefix: "chatcmpl-",
  whole(head, all) {
    const choices = all.map(({ pieces, answered }, index) => {
      const logprobs = chatLogprobs(pieces);
      return { index, message: chatMessage(pieces), logprobs, ...endOf(answered) };
    });
    const usage = usageOf(all.map(({ answered }) => answered));
    return { ...head, object: "chat.completion", choices, usage };
  },
  stream: (head, includeUsage) => ({
    first: (index) => [
      chatChunk(head, [{ index, delta: { role: "assistant", content: "" }, finish_reason: null }]),
    ],
    piece(index, piece) {
      const logprobs = chatLogprobs([piece]);
      if (piece.call?.name === undefined && piece.text === "" && logprobs === null) return [];
      return [chatChunk(head, [{ index, delta: deltaOf(piece), logprobs, finish_reason: null }])];
    },
    last: (index, answered) => [chatChunk(head, [{ index, delta: {}, logprobs: null, ...endOf(answered) }])],
    end: (all) => [...(includeUsage ? [chatChunk(head, [], { usage: usageOf(all) })] : []), DONE],
    failed: (error) => [error],
  }),
};

/** Some clients fail on a `finish_reason` that OpenAI does not have, so a repetition is named beside it. vLLM has that field too. */
const endOf = ({ finish }: Answered): Json =>
  finish === "repetition"
    ? { finish_reason: "length", stop_reason: "repetition" }
    : { finish_reason: finish };

function chatMessage(pieces: readonly Piece[]): Json {
  const thought = textOf(pieces, "thought");
  const [text, calls] = [textOf(pieces, "answer"), callsOf(pieces)];
  return {
    role: "assistant",
    content: calls.length > 0 && text.trim() === "" ? null : text,
    ...(thought !== "" && { reasoning_content: thought }),
    refusal: null,
    ...(calls.length > 0 && {
      tool_calls: calls.map(({ id, name, json }) => {
        return { id, type: "function", function: { name, arguments: json } };
      }),
    }),
  };
}

function deltaOf({ call, thought, text }: Piece): Json {
  if (call === undefined) return thought ? { reasoning_content: text } : { content: text };
  const { index, id, name } = call;
  const begun = name === undefined ? {} : { id, type: "function" };
  return { tool_calls: [{ index, ...begun, function: { ...(name && { name }), arguments: text } }] };
}

/** The calls of an answer; their arguments as JSON. */
export function callsOf(pieces: readonly Piece[]): { id: string; name: string; json: string }[] {
  const calls: { id: string; name: string; json: string }[] = [];
  for (const { call, text } of pieces) {
    if (call?.name !== undefined) calls.push({ id: call.id ?? "", name: call.name, json: "" });
    const last = calls.at(-1);
    if (call !== undefined && last !== undefined) last.json += text;
  }
  return calls;
}

const chatChunk = (head: Head, choices: unknown[], rest: Json = {}): Json => {
  return { ...head, object: "chat.completion.chunk", choices, ...rest };
};

export function chatLogprobs(pieces: readonly Piece[]): Json | null {
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
      return { index, text, logprobs: completionLogprobs(pieces), ...endOf(answered) };
    });
    return completion(head, choices, { usage: usageOf(all.map(({ answered }) => answered)) });
  },
  stream: (head, includeUsage) => ({
    first: () => [],
    piece(index, piece) {
      const logprobs = completionLogprobs([piece]);
      if (piece.text === "" && logprobs === null) return [];
      return [completion(head, [{ index, text: piece.text, logprobs, finish_reason: null }])];
    },
    last: (index, answered) => [completion(head, [{ index, text: "", logprobs: null, ...endOf(answered) }])],
    end: (all) => [...(includeUsage ? [completion(head, [], { usage: usageOf(all) })] : []), DONE],
    failed: (error) => [error],
  }),
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

export function textOf(pieces: readonly Piece[], which: "thought" | "answer"): string {
  const wanted = pieces.filter(
    ({ thought = false, call }) => call === undefined && thought === (which === "thought"),
  );
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
