// What comes in by POST: the bodies of /v1/chat/completions and /v1/completions, checked field by field and turned into a
// GenerationRequest. A wrong field is a 400 that names it. Messages and their pictures are left to messages.ts, tools to tools.ts,
// /v1/responses to responses.ts.
import { randomInt } from "node:crypto";
import { z } from "zod";
import { type Generation, invalid, type JsonSchema, type Sampling } from "../generation/backend.ts";
import { INTERACTIVE } from "../scheduler/queue-order.ts";
import type { GenerationRequest } from "../scheduler/scheduler.ts";
import { chatMessages, decoded, messagesOf } from "./messages.ts";
import { chatToolFields, chatTools } from "./tools.ts";

/** A request as it came in, checked. */
export type ParsedRequest = {
  model: string | undefined;
  request: GenerationRequest;
  stream: boolean;
  includeUsage: boolean;
};

/** The body's fields, or a 400 that names the first wrong one. */
export function parseFields<S extends z.ZodType>(schema: S, body: unknown, at?: string): z.output<S> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const param = [...(at === undefined ? [] : [at]), ...path].join(".") || null;
  throw invalid(param, param === null ? `The body: ${message}.` : `${param}: ${message}.`, parsed.error);
}

// --- The fields of both endpoints

/** How many answers one request may ask for. */
const MAX_ANSWERS = 16;
const MAX_BIASES = 512;
const MAX_CONVERSATION = 128;

const number = (min: number, max: number) => z.number().min(min).max(max).nullish();
const tokenCount = z.int().min(1).max(1_000_000).nullish();
const bias = z.number({ error: "must be a number from -100 to 100" }).min(-100).max(100);

// Checked after their number, because a wrong one costs an error of its own.
const biases = z
  .record(z.string(), bias, { error: "must be an object of token ids and numbers" })
  .refine((biases) => Object.keys(biases).every((id) => /^\d{1,9}$/.test(id)), "its keys must be token ids");

export const commonFields = {
  model: z.string().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: tokenCount,
  temperature: number(0, 2),
  top_p: number(0, 1),
  top_k: z.int().min(0).max(1_000_000).nullish(),
  seed: z.int().nullish(),
  stop: z.union([z.string().max(1_000), z.array(z.string().max(1_000)).max(16)]).nullish(),
  repetition_penalty: number(0.01, 10),
  frequency_penalty: number(-2, 2),
  presence_penalty: number(-2, 2),
  logit_bias: z
    .custom<object>((value) => Object.keys(Object(value)).length <= MAX_BIASES, {
      error: `may name at most ${MAX_BIASES} tokens`,
    })
    .pipe(biases)
    .nullish(),
  n: z.int().min(1).max(MAX_ANSWERS).nullish(),
  priority: z
    .number("must be a number from 0 to 9, higher first; without it the request is interactive")
    .min(0)
    .max(9)
    .nullish(),
  conversation: z.string().max(MAX_CONVERSATION).nullish(),
};
type CommonFields = z.output<z.ZodObject<typeof commonFields>>;

/** What all endpoints read in the same way, with OpenAI's defaults. */
export function readCommon(fields: Partial<CommonFields>, headers: Headers) {
  const { model, stream, stream_options, stop, n, priority } = fields;
  const stops = typeof stop === "string" ? [stop] : (stop ?? []);
  return {
    generation: {
      sampling: samplingOf(fields),
      stop: stops.filter((text) => text !== ""),
      conversation: conversationOf(fields, headers),
    },
    scheduling: { count: n ?? 1, rank: priority ?? INTERACTIVE },
    request: {
      model: model ?? undefined,
      stream: stream ?? false,
      includeUsage: stream_options?.include_usage ?? false,
    },
  };
}

/** OpenAI's defaults: temperature 1, nothing cut off. Without a seed each request gets a random one. */
function samplingOf(fields: Partial<CommonFields>): Sampling {
  const biases = Object.entries(fields.logit_bias ?? {});
  return {
    temperature: fields.temperature ?? 1,
    topP: fields.top_p ?? 1,
    topK: fields.top_k ?? 0,
    seed: Math.abs(fields.seed ?? randomInt(2 ** 31)) % 2 ** 32,
    repetitionPenalty: fields.repetition_penalty ?? 1,
    frequencyPenalty: fields.frequency_penalty ?? 0,
    presencePenalty: fields.presence_penalty ?? 0,
    logitBias: new Map(biases.map(([id, bias]) => [Number(id), bias])),
  };
}

/** The field wins over the header, which a client may set once for all its requests. */
function conversationOf({ conversation }: Partial<CommonFields>, headers: Headers): string | undefined {
  const header = headers.get("x-conversation-id") ?? "";
  if (header.length > MAX_CONVERSATION)
    throw invalid("conversation", `x-conversation-id: may have at most ${MAX_CONVERSATION} characters.`);
  return (conversation ?? header) || undefined;
}

// --- POST /v1/completions

/** OpenAI's default. Plain text seldom ends by itself. */
const COMPLETION_TOKENS = 16;

const CompletionBody = z.looseObject({
  ...commonFields,
  prompt: z.union([z.string().min(1), z.tuple([z.string().min(1)]).transform(([only]) => only)], {
    error: "must be one non-empty string",
  }),
  logprobs: z.int().min(0).max(20).nullish(),
  echo: z.literal(false, { error: "is not supported" }).nullish(),
  best_of: z.literal(1, { error: "only 1 is supported" }).nullish(),
  suffix: z.literal("", { error: "is not supported" }).nullish(),
});

export function parseCompletion(body: unknown, headers: Headers): ParsedRequest {
  const fields = parseFields(CompletionBody, body);
  const common = readCommon(fields, headers);
  const generation: Generation = {
    ...common.generation,
    prompt: { text: fields.prompt },
    maxTokens: fields.max_tokens ?? COMPLETION_TOKENS,
    schema: undefined,
    topLogprobs: fields.logprobs ?? undefined,
  };
  const request = { generation: async () => generation, ...common.scheduling, thinkingBudget: 0 };
  return { ...common.request, request };
}

// --- POST /v1/chat/completions

export const thinkingFields = {
  reasoning_effort: z
    .enum(["none", "minimal", "low", "medium", "high"], {
      error: "must be none, minimal, low, medium or high",
    })
    .nullish(),
  thinking_budget: z.int().min(0).max(1_000_000).nullish(),
  chat_template_kwargs: z.looseObject({ enable_thinking: z.boolean().nullish() }).nullish(),
};
type ThinkingFields = z.output<z.ZodObject<typeof thinkingFields>>;

/** What is in it is checked by whoever compiles it. */
const isSchema = (value: unknown) =>
  typeof value === "boolean" || (typeof value === "object" && value !== null && !Array.isArray(value));
const ResponseFormat = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("text") }),
  z.looseObject({ type: z.literal("json_object") }),
  z.looseObject({
    type: z.literal("json_schema"),
    json_schema: z.looseObject({
      name: z.string().optional(),
      schema: z.custom<JsonSchema>(isSchema, { error: "must be an object or a boolean" }),
    }),
  }),
]);
const ChatBody = z.looseObject({
  ...commonFields,
  ...thinkingFields,
  ...chatToolFields,
  messages: chatMessages,
  max_completion_tokens: tokenCount,
  response_format: ResponseFormat.nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  modalities: z.tuple([z.literal("text")], { error: "only text is answered" }).nullish(),
  audio: z.null({ error: "is not supported" }).optional(),
  web_search_options: z.null({ error: "is not supported" }).optional(),
});
type ChatBody = z.output<typeof ChatBody>;

export function parseChat(body: unknown, headers: Headers): ParsedRequest {
  const fields = parseFields(ChatBody, body);
  const common = readCommon(fields, headers);
  const messages = messagesOf(fields.messages);
  const generation: Omit<Generation, "prompt"> = {
    ...common.generation,
    maxTokens: fields.max_completion_tokens ?? fields.max_tokens ?? undefined,
    schema: schemaOf(fields.response_format),
    tools: chatTools(fields),
    topLogprobs: topLogprobsOf(fields),
  };
  const request = {
    generation: async (signal: AbortSignal) => ({
      ...generation,
      prompt: { messages: await decoded(messages, signal), thinking: "off" as const },
    }),
    ...common.scheduling,
    thinkingBudget: thinkingBudgetOf(fields),
  };
  return { ...common.request, request };
}

/** Tokens for each of OpenAI's efforts. */
const THINKING_TOKENS = { none: 0, minimal: 0, low: 512, medium: 2_048, high: 8_192 } as const;

/**
 * How many tokens the model may think, from the three ways in which clients say it: `enable_thinking: false` wins, then a
 * number of tokens, then an effort, then `enable_thinking: true`. Without any of them the model does not think.
 */
export function thinkingBudgetOf(fields: Partial<ThinkingFields>): number {
  const enabled = fields.chat_template_kwargs?.enable_thinking ?? undefined;
  if (enabled === false) return 0;
  if (fields.thinking_budget != null) return fields.thinking_budget;
  if (fields.reasoning_effort != null) return THINKING_TOKENS[fields.reasoning_effort];
  return enabled ? THINKING_TOKENS.medium : 0;
}

function schemaOf(format: ChatBody["response_format"]): JsonSchema | undefined {
  if (format?.type === "json_object") return { type: "object" };
  return format?.type === "json_schema" ? format.json_schema.schema : undefined;
}

function topLogprobsOf({ logprobs, top_logprobs }: ChatBody): number | undefined {
  if (logprobs) return top_logprobs ?? 0;
  if (top_logprobs) throw invalid("top_logprobs", "top_logprobs: needs logprobs to be true.");
  return undefined;
}
