// How many tokens the model may think before it answers. Pure.

// The marks around a thought, and what may come out longer when it is read again as part of the prompt.
const MARGIN = 32;
// Without max_tokens the answer may fill the context; this share of the room is kept for it.
const ANSWER_SHARE = 0.5;

/**
 * Prompt, thought and answer share one context. What is missing is taken from the thought and never from the answer; 0 when
 * nothing is left for it.
 */
export function thinkingBudget({
  wanted,
  promptTokens,
  contextSize,
  maxTokens,
}: {
  wanted: number;
  promptTokens: number;
  contextSize: number;
  maxTokens: number | undefined;
}): number {
  const room = contextSize - promptTokens - MARGIN;
  const answer = maxTokens ?? Math.ceil(room * ANSWER_SHARE);
  return Math.max(0, Math.min(wanted, room - answer));
}
