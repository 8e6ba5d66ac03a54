// The port between the engine's scheduler and a backend, which runs the model. A backend refuses what it cannot do in `prepare`,
// before it gets a slot, and its token counts are true. The queue, stop strings and OpenAI's shapes are not its business.

import { KamadoError } from "../../errors.ts";
import type { SafeImage } from "../../job/handler.ts";
import type { RepetitionRule } from "./repetition.ts";

export type Part = { type: "text"; text: string } | { type: "image"; image: SafeImage };
/** A function that the model may call. `parameters` is the schema of its arguments; `at` names that field of the request. */
export type Tool = { name: string; description: string | undefined; parameters: Schema; at: string };
/** `arguments` is JSON. */
export type ToolCall = { id: string; name: string; arguments: string };
/** `toolCalls` are of an assistant. A tool's message answers the call with the id `toolCallId`. */
export type Message = {
  role: "system" | "user" | "assistant" | "tool";
  parts: Part[];
  name?: string | undefined;
  toolCalls?: readonly ToolCall[];
  toolCallId?: string | undefined;
};
/**
 * How the answer to a conversation begins. "off": without thinking. "open": with the model's thinking; the run ends where the thinking
 * ends. `thought`: after this thinking.
 */
export type Thinking = "off" | "open" | { thought: string };
/** A piece of text; what does not come from outside may hold special tokens. */
export type Segment = { text: string; fromOutside: boolean };
/** `tools` are those that the template describes to the model, and `begun` is the beginning of the answer. */
export type Conversation = {
  messages: Message[];
  thinking: Thinking;
  tools?: readonly Tool[];
  begun?: readonly Segment[];
};
/** A conversation for the model's chat template, or a plain text to continue. */
export type Prompt = Conversation | { text: string };
export type Schema = Record<string, unknown>;
export type JsonSchema = Schema | boolean;
/** How a model's chat template writes a call: `open`, the function's name, `middle`, the arguments as JSON, `close`. */
export type CallFormat = {
  open: string;
  middle: string;
  /** Text of `ID` in it stands for the call's id. */
  close: string;
  /** Between two calls, in place of another `open`. Absent where an answer holds one call. */
  next: string | undefined;
  /** The text by which a call is recognized in an answer. `isFirst`: only at the answer's beginning. */
  mark: string;
  isFirst: boolean;
};
/** The tools of a request. `callable` are those that may be called; `isForced`: one of them must be. */
export type ToolUse = {
  tools: readonly Tool[];
  callable: readonly Tool[];
  isForced: boolean;
  isParallel: boolean;
};
/** One way in which an answer may go on: with this text and then a value of the tool's schema. */
export type CallStart = { before: string; tool: Tool };

export type Sampling = {
  /** 0 is greedy */
  temperature: number;
  topP: number;
  /** 0 is all of the vocabulary */
  topK: number;
  /** Only tokens that are at least so probable as this share of the most probable one. [0, all of them] */
  minP?: number;
  seed: number;
  /** 1 is none */
  repetitionPenalty: number;
  /** Subtracted from a token's logit: the first for each time the token was used, the second once. 0 is none. */
  frequencyPenalty: number;
  presencePenalty: number;
  /** Added to a token's logit, by token id. -100 forbids the token. */
  logitBias: ReadonlyMap<number, number>;
};

/** Always the likeliest token. */
export const GREEDY: Sampling = {
  temperature: 0,
  topP: 1,
  topK: 0,
  seed: 1,
  repetitionPenalty: 1,
  frequencyPenalty: 0,
  presencePenalty: 0,
  logitBias: new Map(),
};

/** One request whose fields have been checked. Its text comes from outside and must never become a special token. */
export type Generation = {
  prompt: Prompt;
  /** Without it the answer may fill the context. */
  maxTokens: number | undefined;
  sampling: Sampling;
  /** The answer ends before any of these. The caller cuts the text; a backend may use them to stop earlier. */
  stop: string[];
  /** The answer must fit it. */
  schema: JsonSchema | undefined;
  /** The calls that the answer may make. Backends leave it to the scheduler, which gives them `calls` and `shown`. */
  tools?: ToolUse | undefined;
  /** The answer must go on with one of these. */
  calls?: readonly CallStart[] | undefined;
  /** Marks that must appear in the text of the answer, even if they are special tokens. */
  shown?: readonly string[] | undefined;
  /** How many alternatives to report with each token. Without it no probabilities are computed. */
  topLogprobs: number | undefined;
  /** When an answer that only repeats itself is ended; "never" for no end. [as the engine is set] */
  repetition?: RepetitionRule | "never";
  /** Requests of one conversation are expected to continue each other, so what they evaluated is kept longer. */
  conversation: string | undefined;
};

/** `bytes` are given for a token that is not whole characters; its text cannot show it. */
export type Logprob = { text: string; bytes?: number[]; logprob: number };
/**
 * A piece of the answer. `logprob` and `top` are of the model's own distribution at temperature 1. A character that takes
 * several tokens is the text of the last of them.
 */
export type Token = { text: string; bytes?: number[]; logprob?: number; top?: Logprob[] };
/** Takes a token. `false` means that the answer is complete and no further token is wanted. */
export type Emit = (token: Token) => boolean;

export type Outcome = {
  finish: "stop" | "length" | "tool_calls";
  promptTokens: number;
  /** Prompt tokens that were not evaluated again. */
  cachedTokens: number;
  completionTokens: number;
};

/** A request that is fully checked and only needs a slot. */
export type Prepared = {
  promptTokens: number;
  /** How many of them would not be evaluated again if the request ran now. Cheap: the queue asks it of every waiting request. */
  warmTokens?(): number;
  /** Called once, when a slot is free. Rejects with the signal's reason when the signal fires. */
  run(emit: Emit, signal: AbortSignal): Promise<Outcome>;
};

export type BackendInfo = {
  backend: BackendName;
  model: string;
  /** The model's file. `title` is what it calls itself. Absent where no file is read. */
  file?: { name: string; title: string | null; quantization: string | null };
  /** Where the chat template is from, and the texts that end an answer in it. Absent where there is none. */
  template?: { from: string; endMarks: readonly string[] };
  /** of one slot, in tokens */
  contextSize: number;
  slots: number;
  images: boolean;
  /** Whether the model can think before it answers. */
  thinks: boolean;
  /** Fields of a request, alone or together, that this backend refuses although the API has them. */
  unsupported: readonly string[];
};

/** What the console and /metrics show of a backend. Totals count from its start. */
export type BackendState = {
  slots: { state: "idle" | "prefill" | "decode" /** tokens it holds */; tokens: number }[];
  /** llama_decode calls; absent where the library does not report them */
  steps?: number;
  /** prefixes saved besides the slots */
  prefixes: { count: number; bytes: number };
  pictures?: { encoded: number; reused: number };
};

export interface Backend {
  readonly info: BackendInfo;
  /** How the chat template writes calls. Without it the template has no place for tools or their messages. */
  readonly calls?: CallFormat | undefined;
  /** Throws `invalid_input` and `context_length_exceeded` with the field in `detail.param`. */
  prepare(generation: Generation): Promise<Prepared>;
  state?(): BackendState;
  /** Frees the model. Waits until that is done; may be called twice. */
  close(): Promise<void>;
}

export const BACKENDS = ["node-llama-cpp", "llama-node", "llama-server", "scripted"] as const;
export type BackendName = (typeof BACKENDS)[number];

/** An error with status 400 that names the field. */
export function invalid(param: string | null, message: string, cause?: unknown): KamadoError {
  return new KamadoError("invalid_input", message, { cause, detail: { param } });
}

export function tooLong(promptTokens: number, contextSize: number): KamadoError {
  return new KamadoError(
    "context_length_exceeded",
    `The prompt has ${promptTokens} tokens; this model's context holds ${contextSize}, and the answer needs room too.`,
    { detail: { param: "messages" } },
  );
}

/**
 * No real prompt has more characters for each token. The longest tokens, of spaces or dashes, are longer, but hardly any text consists of
 * them.
 */
export const MAX_CHARACTERS_PER_TOKEN = 32;

/**
 * Throws if no prompt of this length fits. A template and a tokenizer block the process while they work, so they never see such a
 * prompt.
 */
export function checkLength(prompt: Prompt, { contextSize }: Pick<BackendInfo, "contextSize">): void {
  const characters = charactersOf(prompt);
  const most = contextSize * MAX_CHARACTERS_PER_TOKEN;
  if (characters <= most) return;
  throw new KamadoError(
    "context_length_exceeded",
    `The prompt has ${characters} characters; this model's context of ${contextSize} tokens holds at most ${most}.`,
    { detail: { param: "messages" in prompt ? "messages" : "prompt" } },
  );
}

function charactersOf(prompt: Prompt): number {
  if ("text" in prompt) return prompt.text.length;
  const { messages, tools = [], begun = [] } = prompt;
  const parts = messages.flatMap(({ parts }) => parts);
  const calls = messages.flatMap(({ toolCalls = [] }) => toolCalls);
  const texts = [
    ...parts.map((part) => (part.type === "text" ? part.text : "")),
    ...calls.map((call) => call.name + call.arguments),
    ...tools.map((tool) => JSON.stringify(tool)),
    ...begun.map(({ text }) => text),
  ];
  return texts.reduce((sum, text) => sum + text.length, 0);
}

/** How many tokens an answer may have: `maxTokens`, and never more than the context has room for. Throws when there is none. */
export function roomFor(promptTokens: number, contextSize: number, maxTokens: number | undefined): number {
  const room = contextSize - promptTokens;
  if (room < 1) throw tooLong(promptTokens, contextSize);
  return Math.min(maxTokens ?? room, room);
}
