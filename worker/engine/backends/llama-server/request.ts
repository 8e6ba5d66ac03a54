// The body of one completion for llama-server. Every sampler that the request did not ask for is switched off. Pure.
import type { Generation } from "../../generation/backend.ts";
import { LAST_FIELDS } from "./stream.ts";

const PENALTY_WINDOW = 64;
/** A bias of this or less forbids its token. */
const FORBIDDEN = -100;

const NEUTRAL = {
  samplers: ["penalties", "top_k", "top_p", "min_p", "temperature"],
  typical_p: 1,
  top_n_sigma: -1,
  xtc_probability: 0,
  dry_multiplier: 0,
  dynatemp_range: 0,
  mirostat: 0,
  adaptive_target: -1,
  n_keep: 0,
  ignore_eos: false,
};

/**
 * llama-server parses every answer for chat messages, all of it again with each token, and fails on bytes that are no character.
 * This parser reads nothing. A server that does not know the field gets requests without it.
 */
export const NO_PARSER = {
  chat_parser: JSON.stringify({ parsers: [{ type: "epsilon" }], rules: {}, root: 0 }),
};

/** One token after `prompt`, with the likeliest ones at its place. A grammar forces it, so that it is a whole character and is reported. */
export const listBody = (prompt: readonly number[], slot: number, most: number) => ({
  ...NEUTRAL,
  prompt,
  id_slot: slot,
  n_predict: 1,
  cache_prompt: true,
  temperature: 0,
  n_probs: most,
  post_sampling_probs: false,
  grammar: 'root ::= "a"',
  response_fields: ["completion_probabilities"],
});

export type Wanted = Pick<Generation, "sampling" | "topLogprobs" | "shown"> & {
  prompt: unknown;
  slot: number;
  /** how many tokens the answer may have */
  room: number;
  grammar: string | undefined;
  /** The mark that ends the model's thinking, for a request that asks for the thinking. */
  end: string | undefined;
};

export function completionBody({
  sampling,
  topLogprobs,
  shown = [],
  prompt,
  slot,
  room,
  grammar,
  end,
}: Wanted): object {
  const { repetitionPenalty, frequencyPenalty, presencePenalty } = sampling;
  const isPenalized = repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0;
  return {
    ...NEUTRAL,
    prompt,
    id_slot: slot,
    n_predict: room,
    stream: true,
    cache_prompt: true,
    return_progress: true,
    response_fields: LAST_FIELDS,
    temperature: sampling.temperature,
    top_k: sampling.topK,
    top_p: sampling.topP,
    min_p: sampling.minP ?? 0,
    seed: sampling.seed % 2 ** 31,
    repeat_penalty: repetitionPenalty,
    frequency_penalty: frequencyPenalty,
    presence_penalty: presencePenalty,
    repeat_last_n: isPenalized ? PENALTY_WINDOW : 0,
    logit_bias: [...sampling.logitBias].map(([token, bias]) => [token, bias <= FORBIDDEN ? false : bias]),
    // At least one, or the drawn token's own probability would be missing. They are the model's own, before any sampler.
    ...(topLogprobs !== undefined && { n_probs: Math.max(1, topLogprobs), post_sampling_probs: false }),
    ...(grammar !== undefined && { grammar }),
    // Without preserved_tokens a mark that is a special token would not appear in the text.
    ...(shown.length > 0 && { preserved_tokens: shown }),
    ...(end !== undefined && { stop: [end], preserved_tokens: [end] }),
  };
}
