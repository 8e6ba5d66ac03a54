// The calls of @fugood/llama.node that are used, as types. Its native code ends the process on input that it does not expect, so
// callers check everything first: chat-template.ts the prompt, open.ts the rest.
import { createRequire } from "node:module";

export type CompletionOptions = {
  prompt: string;
  /** data: URIs only: anything else the library would open as a file */
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
  preserved_tokens?: readonly string[];
  stop?: string[];
  // There is no logit_bias: the library writes past the end of its list.
};
/** No sampler changes the model's own distribution. */
export const UNFILTERED = {
  temperature: 1,
  top_k: 0,
  top_p: 1,
  min_p: 0,
  penalty_repeat: 1,
  penalty_last_n: 0,
  // The library's default now and then removes the likeliest tokens.
  xtc_probability: 0,
};
export type NativeToken = { requestId: number; token: string; probs?: { tok: number; prob: number }[] };
export type NativeResult = {
  requestId: number;
  token?: undefined;
  text: string;
  stopped_eos: boolean;
  stopped_limit: boolean;
  stopped_word: boolean;
  context_full: boolean;
  /** Tokens of the answer. `tokens_predicted` counts cancelled answers too. */
  tokens_evaluated: number;
  timings: { cache_n: number; prompt_n: number };
};

type Format = { prompt: string; additional_stops?: string[] };
type ChatPart = { type: "text"; text: string } | { type: "image_url"; image_url: { url: string } };
export type ChatMessage = { role: string; content: string | ChatPart[]; [field: string]: unknown };

export type NativeContext = {
  ctx: {
    enableParallelMode(options: { n_parallel: number; n_batch: number }): boolean;
    disableParallelMode(): void;
    queueCompletion(
      options: CompletionOptions,
      callback: (error: unknown, result: NativeToken | NativeResult | undefined) => void,
    ): { requestId: number };
    // Not cancelRequest: it changes the list of requests without its lock, while the library's thread may change it too.
  };
  initMultimodal(options: { path: string }): boolean;
  getFormattedChat(
    messages: ChatMessage[],
    template: undefined,
    options: {
      jinja: true;
      enable_thinking: boolean;
      chat_template_kwargs: { thinking: boolean };
      tools?: object[];
      tool_choice?: "none";
    },
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
