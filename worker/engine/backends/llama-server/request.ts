// One completion as llama-server takes it. Every sampler of its own that nobody asked for is switched off. Pure.
import type { Generation } from "../../generation/backend.ts";
import { LAST_FIELDS } from "./stream.ts";

const PENALTY_WINDOW = 64;
/** From here on a bias forbids. */
const FORBIDDEN = -100;

const NEUTRAL = {
  samplers: ["penalties", "top_k", "top_p", "temperature"],
  min_p: 0,
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
 * It reads every answer as it comes, all of it again with each token, for messages that nobody asked for, and fails over bytes
 * that are no character. This is a parser that reads nothing; a server that knows no such thing is asked without.
 */
export const NO_PARSER = {
  chat_parser: JSON.stringify({ parsers: [{ type: "epsilon" }], rules: {}, root: 0 }),
};

export type Wanted = Pick<Generation, "sampling" | "topLogprobs"> & {
  prompt: unknown;
  slot: number;
  /** tokens the answer may have */
  room: number;
  grammar: string | undefined;
  /** Where the model's thinking ends, if that is what is asked for. */
  end: string | undefined;
};

export function completionOf({ sampling, topLogprobs, prompt, slot, room, grammar, end }: Wanted): object {
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
    seed: sampling.seed % 2 ** 31,
    repeat_penalty: repetitionPenalty,
    frequency_penalty: frequencyPenalty,
    presence_penalty: presencePenalty,
    repeat_last_n: isPenalized ? PENALTY_WINDOW : 0,
    logit_bias: [...sampling.logitBias].map(([token, bias]) => [token, bias <= FORBIDDEN ? false : bias]),
    // One is needed to be told the chosen token's own. They are the model's, whatever is drawn from them.
    ...(topLogprobs !== undefined && { n_probs: Math.max(1, topLogprobs), post_sampling_probs: false }),
    ...(grammar !== undefined && { grammar }),
    // A mark that is a special token would not be written out by itself.
    ...(end !== undefined && { stop: [end], preserved_tokens: [end] }),
  };
}
