// What comes in by POST: the bodies of /v1/chat/completions and /v1/completions, checked field by field and turned into a
// GenerationRequest. A wrong field is a 400 that names it. Left to others: messages and their pictures (messages.ts), tools (tools.ts), what
// the wishes for JSON mean (answer-format.ts), how long the model thinks (thinking-fields.ts), the fields that are not read
// (other-fields.ts), and /v1/responses (responses.ts).
import { randomInt } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { type Generation, invalid, type JsonSchema, type Sampling } from "../generation/backend.ts";
import { USUAL_RULE } from "../generation/repetition.ts";
import { INTERACTIVE } from "../scheduler/queue-order.ts";
import type { GenerationRequest } from "../scheduler/scheduler.ts";
import { formatFields, schemaOf } from "./answer-format.ts";
import { chatMessages, decoded, type GivenMessage, messagesOf } from "./messages.ts";
import { checkOtherFields } from "./other-fields.ts";
import { thinkingBudgetOf, thinkingFields } from "./thinking-fields.ts";
import { chatToolFields, chatTools } from "./tools.ts";

/** A request as it came in, checked. */
export type ParsedRequest = {
  model: string | undefined;
  request: GenerationRequest;
  stream: boolean;
  includeUsage: boolean;
  /** The schema that whole answers are checked against. Undefined when there is none, or the client checks them. */
  checked: JsonSchema | undefined;
};

/** The body's fields, or a 400 that names the first one that is wrong, or that asks for what nothing here does. */
export function parseBody<S extends z.ZodObject>(
  schema: S,
  body: unknown,
  elsewhere: Elsewhere,
): z.output<S> {
  const fields = parseFields(schema, body);
  checkOtherFields(fields, namesIn(schema), elsewhere);
  return fields;
}

/** The fields of a part of the body; `at` is where it stands. */
export function parseFields<S extends z.ZodType>(schema: S, body: unknown, at?: string): z.output<S> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const param = [...(at === undefined ? [] : [at]), ...path].join(".") || null;
  throw invalid(param, param === null ? `The body: ${message}.` : `${param}: ${message}.`, parsed.error);
}

// --- The fields of several endpoints

/** How many answers one request may ask for. */
const MAX_ANSWERS = 16;
const MAX_BIASES = 512;
const MAX_CONVERSATION = 128;

const number = (min: number, max: number) => z.number().min(min).max(max).nullish();
/** llama-server, Ollama and vLLM write -1 for an answer without a limit. */
const NO_LIMIT = -1;
const tokenCount = z
  .int()
  .max(1_000_000)
  .refine((count) => count > 0 || count === NO_LIMIT, "must be 1 or more, or -1 for no limit")
  .nullish();
const bias = z.number({ error: "must be a number from -100 to 100" }).min(-100).max(100);

// Checked after their number, because a wrong one costs an error of its own.
const biases = z
  .record(z.string(), bias, { error: "must be an object of token ids and numbers" })
  .refine((biases) => Object.keys(biases).every((id) => /^\d{1,9}$/.test(id)), "its keys must be token ids");

/** llama-server also takes pairs, in which false forbids a token. Some clients write an empty list for none. */
const biasPairs = (value: unknown) => {
  const isPairs = Array.isArray(value) && value.every((one) => Array.isArray(one) && one.length === 2);
  if (!isPairs) return value;
  return Object.fromEntries(value.map(([id, bias]) => [id, bias === false ? -100 : bias]));
};

const stops = z
  .union([z.string().max(1_000), z.array(z.string().max(1_000)).max(16)], {
    error: "must be a text or a list of at most 16 texts, each of at most 1000 characters",
  })
  .nullish();

/** What Ollama calls `options` too. Its other ones say how a model is loaded. */
const samplingFields = {
  temperature: number(0, 2),
  top_p: number(0, 1),
  /** -1 is vLLM's word for the whole vocabulary. */
  top_k: z.int().min(-1).max(1_000_000).nullish(),
  min_p: number(0, 1),
  seed: z.int().nullish(),
  stop: stops,
  num_predict: tokenCount,
  repeat_penalty: number(0.01, 10),
  frequency_penalty: number(-2, 2),
  presence_penalty: number(-2, 2),
};

const { stop: _stop, num_predict: _length, ...numbers } = samplingFields;

/** The fields of all endpoints. */
export const sharedFields = {
  ...numbers,
  model: z.string().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z
    .strictObject({
      include_usage: z.boolean().nullish(),
      include_obfuscation: z.boolean().nullish(),
      continuous_usage_stats: z.literal(false, { error: "is not supported" }).nullish(),
    })
    .nullish(),
  repetition_penalty: number(0.01, 10),
  /** vLLM's name and form; false and a size of 0 switch it off. */
  repetition_detection: z
    .union(
      [
        z.boolean(),
        z
          .strictObject({
            max_pattern_size: z.int().min(0).max(256),
            min_pattern_size: z.int().min(0).max(256).default(1),
            min_count: z.int().min(0).max(100_000).default(0),
          })
          .refine(
            (size) =>
              size.max_pattern_size === 0 ||
              (size.min_count > 1 && size.min_pattern_size <= size.max_pattern_size),
          ),
      ],
      {
        error:
          "must be true, false, or max_pattern_size, min_pattern_size (at most as large) and min_count (2 or more)",
      },
    )
    .nullish(),
  logit_bias: z
    .custom<object>((value) => Object.keys(Object(value)).length <= MAX_BIASES, {
      error: `may name at most ${MAX_BIASES} tokens`,
    })
    .transform(biasPairs)
    .pipe(biases)
    .nullish(),
  priority: z
    .number("must be a number from 0 to 9, higher first; without it the request is interactive")
    .min(0)
    .max(9)
    .nullish(),
  check_schema: z.boolean().nullish(),
};

const commonFields = {
  ...sharedFields,
  ...samplingFields,
  ...formatFields,
  max_tokens: tokenCount,
  max_completion_tokens: tokenCount,
  n_predict: tokenCount,
  options: z.looseObject(samplingFields).nullish(),
  n: z.int().min(1).max(MAX_ANSWERS).nullish(),
  n_cmpl: z.int().min(1).max(MAX_ANSWERS).nullish(),
  conversation: z.string().max(MAX_CONVERSATION).nullish(),
};
type CommonFields = z.output<z.ZodObject<typeof commonFields>>;

type Elsewhere = { fields: ReadonlySet<string>; at: string };
const namesIn = (schema: z.ZodObject) => new Set(Object.keys(schema.shape));

/** The one value of a wish that has several names. Throws when two of them say different things. */
function one<T>(wishes: Record<string, T>): NonNullable<T> | undefined {
  const said = Object.entries(wishes).filter(([, value]) => value != null) as [string, NonNullable<T>][];
  const [first] = said;
  const other = said.find(([, value]) => !isDeepStrictEqual(value, first?.[1]));
  if (other) throw invalid(other[0], `${other[0]}: contradicts ${first![0]}; send one of them.`);
  return first?.[1];
}

/** What all endpoints read in the same way, with OpenAI's defaults. */
export function readCommon(fields: Partial<CommonFields>, headers: Headers) {
  const { model, stream, stream_options, n, n_cmpl, priority, options } = fields;
  checkOtherFields(options ?? {}, new Set(Object.keys(samplingFields)), undefined, "options.");
  const stop = one({ stop: fields.stop, "options.stop": options?.stop });
  const stops = typeof stop === "string" ? [stop] : (stop ?? []);
  const repetition = repetitionOf(fields.repetition_detection);
  const schema = schemaOf(fields);
  return {
    generation: {
      ...(repetition && { repetition }),
      sampling: samplingOf(fields),
      stop: stops.filter((text) => text !== ""),
      conversation: conversationOf(fields, headers),
      schema,
    },
    scheduling: { count: one({ n, n_cmpl }) ?? 1, rank: priority ?? INTERACTIVE },
    request: {
      model: model ?? undefined,
      stream: stream ?? false,
      includeUsage: stream_options?.include_usage ?? false,
      checked: fields.check_schema === false ? undefined : schema,
    },
  };
}

/** Undefined: as the engine is set. */
function repetitionOf(wish: CommonFields["repetition_detection"]): Generation["repetition"] {
  if (wish == null) return undefined;
  if (wish === true) return USUAL_RULE;
  if (wish === false || wish.max_pattern_size === 0) return "never";
  return {
    shortest: Math.max(1, wish.min_pattern_size),
    longest: wish.max_pattern_size,
    times: wish.min_count,
    fewest: { words: 1, signs: 1 },
  };
}

/** Undefined without a limit. `max_completion_tokens` goes before `max_tokens`, as OpenAI says. */
function maxTokensOf(fields: CommonFields, otherwise?: number): number | undefined {
  const { max_completion_tokens, max_tokens, n_predict, num_predict, options } = fields;
  const wanted =
    max_completion_tokens ??
    one({ max_tokens, n_predict, num_predict, "options.num_predict": options?.num_predict }) ??
    otherwise;
  return wanted === NO_LIMIT ? undefined : wanted;
}

/** OpenAI's defaults: temperature 1, nothing cut off. */
function samplingOf(fields: Partial<CommonFields>): Sampling {
  const biases = Object.entries(fields.logit_bias ?? {});
  const given = <N extends keyof typeof samplingFields>(name: N) =>
    one<CommonFields[N]>({ [name]: fields[name], [`options.${name}`]: fields.options?.[name] });
  const repetitionPenalty = one({
    repetition_penalty: fields.repetition_penalty,
    repeat_penalty: given("repeat_penalty"),
  });
  const minP = given("min_p");
  return {
    temperature: given("temperature") ?? 1,
    topP: given("top_p") ?? 1,
    topK: Math.max(0, given("top_k") ?? 0),
    ...(minP !== undefined && { minP }),
    seed: seedOf(given("seed")),
    repetitionPenalty: repetitionPenalty ?? 1,
    frequencyPenalty: given("frequency_penalty") ?? 0,
    presencePenalty: given("presence_penalty") ?? 0,
    logitBias: new Map(biases.map(([id, bias]) => [Number(id), bias])),
  };
}

const SEEDS = 2 ** 32;

/** Without a seed each request gets a random one. So it does with -1, which llama-server and Ollama read in that way. */
function seedOf(given: number | undefined): number {
  if (given === undefined || given === -1 || given === SEEDS - 1) return randomInt(2 ** 31);
  return ((given % SEEDS) + SEEDS) % SEEDS;
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
  // False is the chat's word for none.
  logprobs: z.union([z.int().min(0).max(20), z.literal(false)], { error: "must be 0 to 20" }).nullish(),
});

export function parseCompletion(body: unknown, headers: Headers): ParsedRequest {
  const elsewhere = { fields: namesIn(ChatBody), at: "/v1/chat/completions" };
  const fields = parseBody(CompletionBody, body, elsewhere);
  const common = readCommon(fields, headers);
  const generation: Generation = {
    ...common.generation,
    prompt: { text: fields.prompt },
    maxTokens: maxTokensOf(fields, COMPLETION_TOKENS),
    topLogprobs: fields.logprobs === false ? undefined : (fields.logprobs ?? undefined),
  };
  const request = { generation: async () => generation, ...common.scheduling, thinkingBudget: 0 };
  return { ...common.request, request };
}

// --- POST /v1/chat/completions

const ChatBody = z.looseObject({
  ...commonFields,
  ...thinkingFields,
  ...chatToolFields,
  messages: chatMessages,
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  modalities: z.tuple([z.literal("text")], { error: "only text is answered" }).nullish(),
  audio: z.null({ error: "is not supported" }).optional(),
  web_search_options: z.null({ error: "is not supported" }).optional(),
});
type ChatBody = z.output<typeof ChatBody>;

export function parseChat(body: unknown, headers: Headers): ParsedRequest {
  const fields = parseBody(ChatBody, body, { fields: namesIn(CompletionBody), at: "/v1/completions" });
  const common = readCommon(fields, headers);
  const messages = messagesOf(fields.messages);
  const generation: Omit<Generation, "prompt"> = {
    ...common.generation,
    maxTokens: maxTokensOf(fields),
    tools: chatTools(fields),
    topLogprobs: topLogprobsOf(fields),
  };
  const { scheduling, request } = common;
  return { ...request, request: chatRequest(generation, messages, scheduling, thinkingBudgetOf(fields)) };
}

/** Pictures are decoded when the request has its place in the queue. */
export function chatRequest(
  generation: Omit<Generation, "prompt">,
  messages: readonly GivenMessage[],
  scheduling: Pick<GenerationRequest, "count" | "rank">,
  thinkingBudget: number,
): GenerationRequest {
  return {
    generation: async (signal) => ({
      ...generation,
      prompt: { messages: await decoded(messages, signal), thinking: "off" },
    }),
    ...scheduling,
    thinkingBudget,
  };
}

function topLogprobsOf({ logprobs, top_logprobs }: ChatBody): number | undefined {
  if (logprobs) return top_logprobs ?? 0;
  if (top_logprobs) throw invalid("top_logprobs", "top_logprobs: needs logprobs to be true.");
  return undefined;
}

/** What is read, by endpoint, for docs/engine.md. */
export const READ_FIELDS = { chat: namesIn(ChatBody), completions: namesIn(CompletionBody) };
