// The way out: what both endpoints need to write pieces and outcomes in OpenAI's shapes. Pure.
import type { Token } from "../generation/backend.ts";
import type { Answered, Piece } from "../scheduler/generate.ts";

export type Head = { id: string; created: number; model: string };
export type Json = Record<string, unknown>;
/** One of a request's answers, complete. */
export type Choice = { pieces: readonly Piece[]; answered: Answered };
/** How one endpoint writes its answers. `index` is the place of an answer among its request's. */
export type Dialect = {
  idPrefix: string;
  whole(head: Head, choices: readonly Choice[]): Json;
  first?(head: Head, index: number): Json;
  chunk(head: Head, index: number, piece: Piece): Json;
  last(head: Head, index: number, answered: Answered): Json;
  usage(head: Head, all: readonly Answered[]): Json;
};

export function textOf(pieces: readonly Piece[], which: "thought" | "answer"): string {
  const wanted = pieces.filter(({ thought = false }) => thought === (which === "thought"));
  return wanted.map(({ text }) => text).join("");
}

/** The tokens that carry probabilities. */
export function knownTokens(pieces: readonly Piece[]): (Token & { logprob: number })[] {
  return pieces
    .flatMap(({ tokens }) => tokens)
    .filter((token): token is Token & { logprob: number } => token.logprob !== undefined);
}

/** Several answers share one prompt: it counts once, and as cached only where no answer had to evaluate it. */
export function usageOf(all: readonly Answered[]): Json {
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

// JSON has no -Infinity; OpenAI says -9999 for a token that cannot be.
export const finite = (logprob: number) => Math.max(-9_999, logprob);
