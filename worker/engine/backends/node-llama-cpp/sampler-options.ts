// From what a request wishes to the library's options for drawing a token.
import { type LlamaModel, type SequenceEvaluateOptions, type Token, TokenBias } from "node-llama-cpp";
import { invalid, type Sampling } from "../../generation/backend.ts";

/** Greedy without any filter is the one way to be told the distribution as it is; the token is then drawn from it by us. */
export const UNFILTERED: SequenceEvaluateOptions = { temperature: 0, topK: 0, topP: 1, minP: 0 };
/** How far back a repetition counts, as in llama.cpp. */
const REPETITION_WINDOW = 64;
/** OpenAI's penalties are about all of an answer; the library wants a bound. */
const ANSWER_WINDOW = 4_096;

/** Throws for what this model cannot do; the answer takes what has been said, which grows. */
export function optionsOf(
  sampling: Sampling,
  model: LlamaModel,
): (said: readonly Token[]) => SequenceEvaluateOptions {
  const { temperature, topK, topP, seed } = sampling;
  const options: SequenceEvaluateOptions = { temperature, topK, topP, minP: 0, seed };
  if (sampling.logitBias.size > 0) options.tokenBias = biasOf(sampling, model);
  const { repetitionPenalty: penalty, frequencyPenalty, presencePenalty } = sampling;
  if (penalty === 1 && frequencyPenalty === 0 && presencePenalty === 0) return () => options;
  const maxPunishTokens = penaltyWindow(sampling);
  return (said) => {
    const punishTokens = () => said.slice(-maxPunishTokens);
    return {
      ...options,
      repeatPenalty: { penalty, frequencyPenalty, presencePenalty, punishTokens, maxPunishTokens },
    };
  };
}

/** How many of the last tokens are punished. */
export function penaltyWindow({ frequencyPenalty, presencePenalty }: Sampling): number {
  return frequencyPenalty === 0 && presencePenalty === 0 ? REPETITION_WINDOW : ANSWER_WINDOW;
}

function biasOf({ logitBias }: Sampling, model: LlamaModel): TokenBias {
  const bias = TokenBias.for(model);
  for (const [id, logit] of logitBias) {
    if (id >= model.fileInfo.metadata.tokenizer.ggml.tokens.length)
      throw invalid("logit_bias", `logit_bias: this model has no token ${id}.`);
    bias.set(id as Token, { logit });
  }
  return bias;
}
