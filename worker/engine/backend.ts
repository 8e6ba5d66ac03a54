// The port between the engine's HTTP side and whatever runs the model. A backend refuses what it cannot do in `prepare`,
// before a slot is taken, and tells the truth about tokens. Waiting, stop strings and OpenAI's shapes are not its business.
import type { SafeImage } from "../job/handler.ts";

export type Part = { type: "text"; text: string } | { type: "image"; image: SafeImage };
export type Message = { role: "system" | "user" | "assistant"; parts: Part[] };
/** A conversation for the model's own chat template, or plain text to go on from. */
export type Prompt = { messages: Message[] } | { text: string };
export type JsonSchema = Record<string, unknown> | boolean;

export type Sampling = {
  /** 0 is greedy */
  temperature: number;
  topP: number;
  /** 0 is all of the vocabulary */
  topK: number;
  seed: number;
  /** 1 is none */
  repetitionPenalty: number;
};

/** One request, checked for shape. Text in it came from outside and never becomes a special token. */
export type Generation = {
  prompt: Prompt;
  /** Without it the answer may fill the context. */
  maxTokens: number | undefined;
  sampling: Sampling;
  /** The answer ends before any of these. The text is cut by the caller; a backend that knows them need not be told to stop. */
  stop: string[];
  /** The answer must fit it. */
  schema: JsonSchema | undefined;
  /** How many alternatives to report beside each token; without it no probabilities are computed. */
  topLogprobs: number | undefined;
};

export type Logprob = { text: string; logprob: number };
/** A piece of the answer. `logprob` and `top` are of the model's own distribution at temperature 1. */
export type Token = { text: string; logprob?: number; top?: Logprob[] };
/** Takes a token; `false` says that the answer is complete and no further token is wanted. */
export type Emit = (token: Token) => boolean;

export type Outcome = {
  finish: "stop" | "length";
  promptTokens: number;
  /** Prompt tokens that were not evaluated again. */
  cachedTokens: number;
  completionTokens: number;
};

/** A request that has been checked to the end and only needs a slot. */
export type Prepared = {
  promptTokens: number;
  /** Called once, when a slot is free. Rejects with the signal's reason when it fires. */
  run(emit: Emit, signal: AbortSignal): Promise<Outcome>;
};

export type BackendInfo = {
  backend: BackendName;
  model: string;
  /** of one slot, in tokens */
  contextSize: number;
  slots: number;
  images: boolean;
};

export interface Backend {
  readonly info: BackendInfo;
  /** Throws `invalid_input` and `context_length_exceeded` with the field in `detail.param`. */
  prepare(generation: Generation): Promise<Prepared>;
  /** Frees the model. Stop waits and may be called twice. */
  close(): Promise<void>;
}

export const BACKENDS = ["node-llama-cpp", "llama-node", "scripted"] as const;
export type BackendName = (typeof BACKENDS)[number];
