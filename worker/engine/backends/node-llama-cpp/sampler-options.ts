// The library's sampling options for a request.
import { type LlamaModel, type SequenceEvaluateOptions, type Token, TokenBias } from "node-llama-cpp";
import { invalid, type Sampling } from "../../generation/backend.ts";

/** Greedy without any filter: only so does the library report the distribution unchanged. The decoder then draws the token. */
export const UNFILTERED: SequenceEvaluateOptions = { temperature: 0, topK: 0, topP: 1, minP: 0 };
/** How far back a repetition counts; llama.cpp's own. */
const REPETITION_WINDOW = 64;
/** OpenAI's penalties count over the whole answer; the library needs a limit. */
const ANSWER_WINDOW = 4_096;

/** Throws for what this model cannot do. The returned function takes the list of the answer's tokens, which grows. */
export function optionsOf(
  sampling: Sampling,
  model: LlamaModel,
): (answer: readonly Token[]) => SequenceEvaluateOptions {
  const { temperature, topK, topP, seed } = sampling;
  const options: SequenceEvaluateOptions = { temperature, topK, topP, minP: 0, seed };
  if (sampling.logitBias.size > 0) options.tokenBias = biasOf(sampling, model);
  const { repetitionPenalty: penalty, frequencyPenalty, presencePenalty } = sampling;
  if (penalty === 1 && frequencyPenalty === 0 && presencePenalty === 0) return () => options;
  const maxPunishTokens = penaltyWindow(sampling);
  return (answer) => {
    const punishTokens = () => answer.slice(-maxPunishTokens);
    return {
      ...options,
      repeatPenalty: { penalty, frequencyPenalty, presencePenalty, punishTokens, maxPunishTokens },
    };
  };
}

/** How many of the last tokens the penalties apply to. */
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
