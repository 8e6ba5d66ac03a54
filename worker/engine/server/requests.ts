// What comes in by POST: the bodies of /v1/chat/completions and /v1/completions, checked field by field and turned into a
// GenerationRequest. A wrong field is a 400 that names it. Pictures are decoded here and nowhere later.
import { randomInt } from "node:crypto";
import type { Context } from "hono";
import { z } from "zod";
import { KamadoError } from "../../errors.ts";
import { safeImage } from "../../images/safe-image.ts";
import {
  type Generation,
  invalid,
  type JsonSchema,
  type Message,
  type Part,
  type Sampling,
} from "../generation/backend.ts";
import { INTERACTIVE } from "../scheduler/queue-order.ts";
import type { GenerationRequest } from "../scheduler/scheduler.ts";

/** A request as it came in, checked. */
export type ParsedRequest = {
  model: string | undefined;
  request: GenerationRequest;
  stream: boolean;
  includeUsage: boolean;
};

export async function jsonBody(c: Context): Promise<unknown> {
  // A web page elsewhere can send text/plain to this machine without asking first, but not JSON.
  if (!/^application\/json\b/i.test(c.req.header("content-type") ?? ""))
    throw invalid(null, "Send the body with content-type: application/json.");
  const text = await c.req.text();
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new KamadoError("malformed_json", "The body is not JSON.", { cause });
  }
}

/** The body's fields, or a 400 that names the first wrong one. */
function parseFields<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const param = path.length === 0 ? null : path.join(".");
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
    .record(z.string(), bias, { error: "must be an object of token ids and numbers" })
    .refine((biases) => Object.keys(biases).length <= MAX_BIASES, `may name at most ${MAX_BIASES} tokens`)
    .refine((biases) => Object.keys(biases).every((id) => /^\d{1,9}$/.test(id)), "its keys must be token ids")
    .nullish(),
  n: z.int().min(1).max(MAX_ANSWERS).nullish(),
  priority: z
    .int("must be a whole number from 0 to 9, higher first; without it the request is interactive")
    .min(0)
    .max(9)
    .nullish(),
  conversation: z.string().max(MAX_CONVERSATION).nullish(),
};
type CommonFields = z.output<z.ZodObject<typeof commonFields>>;

/** What both endpoints read in the same way, with OpenAI's defaults. */
function readCommon(fields: CommonFields, headers: Headers) {
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
function samplingOf(fields: CommonFields): Sampling {
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
function conversationOf({ conversation }: CommonFields, headers: Headers): string | undefined {
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
  return { ...common.request, request: { generation, ...common.scheduling, thinkingBudget: 0 } };
}

// --- POST /v1/chat/completions

const MAX_IMAGES = 16;

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

const TextPart = z.looseObject({ type: z.literal("text"), text: z.string() });
const ImagePart = z.looseObject({
  type: z.literal("image_url"),
  image_url: z.union([z.string(), z.looseObject({ url: z.string() }).transform(({ url }) => url)]),
});
const ChatMessage = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant"], {
    error: "must be system, developer, user or assistant",
  }),
  content: z.union([z.string(), z.array(z.discriminatedUnion("type", [TextPart, ImagePart])).min(1)], {
    error: "must be a string or a list of text and image_url parts",
  }),
});
const ResponseFormat = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("text") }),
  z.looseObject({ type: z.literal("json_object") }),
  z.looseObject({
    type: z.literal("json_schema"),
    json_schema: z.looseObject({
      name: z.string().optional(),
      schema: z.union([z.boolean(), z.record(z.string(), z.unknown())]),
    }),
  }),
]);
const TOOLS = { error: "tools are not supported" };
const ChatBody = z.looseObject({
  ...commonFields,
  ...thinkingFields,
  messages: z.array(ChatMessage).min(1).max(1_000),
  max_completion_tokens: tokenCount,
  response_format: ResponseFormat.nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  tools: z.tuple([], TOOLS).nullish(),
  functions: z.tuple([], TOOLS).nullish(),
  tool_choice: z.enum(["none", "auto"], TOOLS).nullish(),
  function_call: z.enum(["none", "auto"], TOOLS).nullish(),
  modalities: z.tuple([z.literal("text")], { error: "only text is answered" }).nullish(),
  audio: z.null({ error: "is not supported" }).optional(),
  web_search_options: z.null({ error: "is not supported" }).optional(),
});
type ChatBody = z.output<typeof ChatBody>;

/** `clientGone` ends the decoding of its pictures. */
export async function parseChat(
  body: unknown,
  headers: Headers,
  clientGone?: AbortSignal,
): Promise<ParsedRequest> {
  const fields = parseFields(ChatBody, body);
  const common = readCommon(fields, headers);
  const generation: Generation = {
    ...common.generation,
    prompt: { messages: await messagesOf(fields.messages, clientGone), thinking: "off" },
    maxTokens: fields.max_completion_tokens ?? fields.max_tokens ?? undefined,
    schema: schemaOf(fields.response_format),
    topLogprobs: topLogprobsOf(fields),
  };
  const thinkingBudget = thinkingBudgetOf(fields);
  return { ...common.request, request: { generation, ...common.scheduling, thinkingBudget } };
}

/** Tokens for each of OpenAI's efforts. */
const THINKING_TOKENS = { none: 0, minimal: 0, low: 512, medium: 2_048, high: 8_192 } as const;

/**
 * How many tokens the model may think, from the three ways in which clients say it: `enable_thinking: false` wins, then a
 * number of tokens, then an effort, then `enable_thinking: true`. Without any of them the model does not think.
 */
export function thinkingBudgetOf(fields: ThinkingFields): number {
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

/** Pictures are decoded one after another, because decoding needs much memory. */
async function messagesOf(messages: ChatBody["messages"], clientGone?: AbortSignal): Promise<Message[]> {
  const converted: Message[] = [];
  let images = 0;
  for (const [index, { role, content }] of messages.entries()) {
    const parts: Part[] = [];
    const list = typeof content === "string" ? [{ type: "text" as const, text: content }] : content;
    for (const [at, part] of list.entries()) {
      const param = `messages.${index}.content.${at}.image_url`;
      if (part.type === "text") parts.push({ type: "text", text: part.text });
      else if (role !== "user") throw invalid(param, `${param}: only user messages may hold pictures.`);
      else if (++images > MAX_IMAGES) throw invalid(param, `${param}: more than ${MAX_IMAGES} pictures.`);
      else parts.push(await imageOf(part.image_url, param, clientGone));
    }
    converted.push({ role: role === "developer" ? "system" : role, parts });
  }
  return converted;
}

const DATA_URI = /^data:image\/[\w.+-]+;base64,/i;

/** Only data: URIs. This process opens no file and no address that a request names. */
async function imageOf(url: string, param: string, clientGone?: AbortSignal): Promise<Part> {
  const head = DATA_URI.exec(url)?.[0];
  if (head === undefined)
    throw invalid(param, `${param}: must be a data:image/…;base64, URI; addresses and paths are not opened.`);
  try {
    const bytes = Buffer.from(url.slice(head.length), "base64");
    return { type: "image", image: await safeImage(bytes, {}, clientGone) };
  } catch (thrown) {
    // The HTTP server's own reason is not an Error.
    if (clientGone?.aborted) throw new KamadoError("canceled", "The client went away.");
    if (!(thrown instanceof KamadoError)) throw thrown;
    throw new KamadoError(thrown.code, thrown.message, { cause: thrown, detail: { param } });
  }
}
