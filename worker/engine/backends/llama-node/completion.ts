// How one request is put to the library: its sampling, its ends and its grammar. Pure.
import type { Generation } from "../../backend.ts";
import { type CompletionOptions, UNFILTERED } from "./native.ts";
import type { NativePrompt } from "./prompt.ts";

/** llama.cpp's own; a token said longer ago may be said again. */
const PENALTY_WINDOW = 64;

/** Whether the library cannot do it by itself in one go. */
export function needsWalk({ topLogprobs, sampling, prompt }: Generation): boolean {
  const { logitBias, frequencyPenalty, presencePenalty } = sampling;
  // With pictures the library counts the prompt's tokens as said, which these two penalties must not.
  const hasPictures =
    "messages" in prompt && prompt.messages.some(({ parts }) => parts.some(({ type }) => type === "image"));
  const counts = frequencyPenalty !== 0 || presencePenalty !== 0;
  return topLogprobs !== undefined || logitBias.size > 0 || (hasPictures && counts);
}

export function completionOf(request: {
  generation: Pick<Generation, "sampling" | "stop">;
  prompt: Pick<NativePrompt, "text" | "images" | "stop">;
  room: number;
  grammar: string | undefined;
  close: string | undefined;
}): CompletionOptions {
  const { generation, prompt, room, grammar, close } = request;
  const { temperature, topK, topP, seed } = generation.sampling;
  const options: CompletionOptions = {
    ...UNFILTERED,
    ...penaltiesOf(generation.sampling, room),
    prompt: prompt.text,
    stop: [...generation.stop, ...prompt.stop, ...(close === undefined ? [] : [close])],
    n_predict: room,
    temperature,
    // Greedy takes both: at temperature 0 alone the library still draws.
    top_k: temperature === 0 ? 1 : topK,
    top_p: topP,
    seed: seed % 2 ** 31,
  };
  if (prompt.images.length > 0) options.media_paths = prompt.images;
  if (grammar !== undefined) options.grammar = grammar;
  return options;
}

function penaltiesOf(
  { repetitionPenalty, frequencyPenalty, presencePenalty }: Generation["sampling"],
  room: number,
) {
  const counts = frequencyPenalty !== 0 || presencePenalty !== 0;
  const none = repetitionPenalty === 1 && !counts;
  return {
    penalty_repeat: repetitionPenalty,
    penalty_freq: frequencyPenalty,
    penalty_present: presencePenalty,
    // There is one window for all three, and "each time it was said" has no window.
    penalty_last_n: none ? 0 : counts ? room : PENALTY_WINDOW,
  };
}
