// The few calls of @fugood/llama.node that are used. Its native code ends the process on input it does not expect, so nothing
// may come here unchecked; see prompt.ts and open.ts.
import { createRequire } from "node:module";

export type CompletionOptions = {
  prompt: string;
  /** data: URIs only; the library would open a file by any other name */
  media_paths?: string[];
  n_predict: number;
  temperature: number;
  top_k: number;
  top_p: number;
  min_p: number;
  seed: number;
  penalty_repeat: number;
  penalty_last_n: number;
  penalty_freq?: number;
  penalty_present?: number;
  n_probs?: number;
  xtc_probability: number;
  grammar?: string;
  stop?: string[];
  /** A file to go on from, and where to save all of the prompt, or prompt and answer. */
  load_state_path?: string;
  save_prompt_state_path?: string;
  save_state_path?: string;
  // logit_bias is left out: the library writes past the end of an empty list.
};
/** Nothing is taken away from the model's own distribution. */
export const UNFILTERED = {
  temperature: 1,
  top_k: 0,
  top_p: 1,
  min_p: 0,
  penalty_repeat: 1,
  penalty_last_n: 0,
  // The library's own default excludes the likeliest tokens now and then, and leaves only the least likely one.
  xtc_probability: 0,
};
/** At temperature 0 alone the library still draws. */
export const GREEDY = { ...UNFILTERED, temperature: 0, top_k: 1, seed: 0 };
export type NativeToken = { requestId: number; token: string; probs?: { tok: number; prob: number }[] };
export type NativeResult = {
  requestId: number;
  token?: undefined;
  text: string;
  stopped_eos: boolean;
  stopped_limit: boolean;
  stopped_word: boolean;
  context_full: boolean;
  /** of the answer; `tokens_predicted` would count cancelled answers too */
  tokens_evaluated: number;
  timings: { cache_n: number; prompt_n: number };
};

type Format = { prompt: string; additional_stops?: string[] };
type ChatPart = { type: "text"; text: string } | { type: "image_url"; image_url: { url: string } };
export type ChatMessage = { role: string; content: string | ChatPart[] };

export type NativeContext = {
  ctx: {
    enableParallelMode(options: { n_parallel: number; n_batch: number }): boolean;
    disableParallelMode(): void;
    queueCompletion(
      options: CompletionOptions,
      callback: (error: unknown, result: NativeToken | NativeResult | undefined) => void,
    ): { requestId: number };
    cancelRequest(requestId: number): void;
  };
  initMultimodal(options: { path: string }): boolean;
  getFormattedChat(
    messages: ChatMessage[],
    template: undefined,
    options: { jinja: true; enable_thinking: boolean; chat_template_kwargs: { thinking: boolean } },
  ): Format;
  tokenize(text: string, options?: { media_paths?: string[] }): Promise<{ tokens: Int32Array }>;
  detokenize(tokens: number[]): Promise<string>;
  release(): Promise<void>;
};
type Library = {
  loadModel(options: {
    model: string;
    n_ctx: number;
    n_batch: number;
    n_parallel: number;
    ctx_shift: false;
    swa_full: boolean;
    n_threads?: number;
  }): Promise<NativeContext>;
};

export function loadLibrary(): Library {
  return createRequire(import.meta.url)("@fugood/llama.node");
}
