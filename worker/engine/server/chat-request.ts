// POST /v1/chat/completions, the way in: OpenAI's body becomes a Generation. Pictures are decoded here and nowhere later.
import { z } from "zod";
import { KamadoError } from "../../errors.ts";
import { safeImage } from "../../images/safe-image.ts";
import { type Generation, invalid, type JsonSchema, type Message, type Part } from "../generation/backend.ts";
import {
  type Asked,
  commonFields,
  conversationOf,
  parseFields,
  samplingOf,
  stopOf,
  tokenCount,
  turnOf,
  wishesOf,
} from "./request-fields.ts";

const MAX_IMAGES = 16;

// How much a chat may think before it answers, of the three ways in which clients say it.
/** Tokens for each of OpenAI's efforts. One-shot jobs think nothing unless they ask for it. */
const BUDGETS = { none: 0, minimal: 0, low: 512, medium: 2_048, high: 8_192 } as const;

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

/** Tokens. Who forbids it is obeyed first; a number goes before a word, a word before a mere yes. */
export function thinkingBudgetOf(fields: ThinkingFields): number {
  const enabled = fields.chat_template_kwargs?.enable_thinking ?? undefined;
  if (enabled === false) return 0;
  if (fields.thinking_budget != null) return fields.thinking_budget;
  if (fields.reasoning_effort != null) return BUDGETS[fields.reasoning_effort];
  return enabled ? BUDGETS.medium : 0;
}

const TextPart = z.looseObject({ type: z.literal("text"), text: z.string() });
const ImagePart = z.looseObject({
  type: z.literal("image_url"),
  image_url: z.union([z.string(), z.looseObject({ url: z.string() }).transform(({ url }) => url)]),
});
const Content = z.union([z.string(), z.array(z.discriminatedUnion("type", [TextPart, ImagePart])).min(1)], {
  error: "must be a string or a list of text and image_url parts",
});
const ChatMessage = z.looseObject({
  role: z.enum(["system", "developer", "user", "assistant"], {
    error: "must be system, developer, user or assistant",
  }),
  content: Content,
});
const Schema = z.union([z.boolean(), z.record(z.string(), z.unknown())]);
const ResponseFormat = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("text") }),
  z.looseObject({ type: z.literal("json_object") }),
  z.looseObject({
    type: z.literal("json_schema"),
    json_schema: z.looseObject({ name: z.string().optional(), schema: Schema }),
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

export async function parseChat(body: unknown, headers: Headers): Promise<Asked> {
  const fields = parseFields(ChatBody, body);
  const generation: Generation = {
    prompt: { messages: await messagesOf(fields.messages), thinking: "off" },
    maxTokens: fields.max_completion_tokens ?? fields.max_tokens ?? undefined,
    sampling: samplingOf(fields),
    stop: stopOf(fields),
    schema: schemaOf(fields.response_format),
    topLogprobs: topLogprobsOf(fields),
    conversation: conversationOf(fields, headers),
  };
  const question = { generation, ...turnOf(fields), thinkingBudget: thinkingBudgetOf(fields) };
  return { model: fields.model ?? undefined, question, wishes: wishesOf(fields) };
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

/** One picture after another: decoding is what costs memory. */
async function messagesOf(messages: ChatBody["messages"]): Promise<Message[]> {
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
      else parts.push(await imageOf(part.image_url, param));
    }
    converted.push({ role: role === "developer" ? "system" : role, parts });
  }
  return converted;
}

const DATA_URI = /^data:image\/[\w.+-]+;base64,/i;

/** Only data: URIs: this process opens no file and no address that a request names. */
async function imageOf(url: string, param: string): Promise<Part> {
  const head = DATA_URI.exec(url)?.[0];
  if (head === undefined)
    throw invalid(param, `${param}: must be a data:image/…;base64, URI; addresses and paths are not opened.`);
  try {
    return { type: "image", image: await safeImage(Buffer.from(url.slice(head.length), "base64")) };
  } catch (thrown) {
    if (!(thrown instanceof KamadoError)) throw thrown;
    throw new KamadoError(thrown.code, thrown.message, { cause: thrown, detail: { param } });
  }
}
