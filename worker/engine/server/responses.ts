// What comes in by POST /v1/responses: the part of OpenAI's newer API that needs no memory. Its items become the messages of a chat, and
// its fields those of a chat request. What would need kept responses, files or OpenAI's own tools is refused by name. How the
// answer is written is left to response-replies.ts.
import { z } from "zod";
import { type Generation, invalid, type JsonSchema } from "../generation/backend.ts";
import { type ChatMessage, callArguments, messagesOf, toolContent } from "./messages.ts";
import {
  chatRequest,
  type ParsedRequest,
  parseBody,
  parseFields,
  READ_FIELDS,
  readCommon,
  sharedFields,
} from "./requests.ts";
import type { RememberedItems } from "./response-items.ts";
import { thinkingBudgetOf, thinkingFields } from "./thinking-fields.ts";
import { flatToolFields, flatTools } from "./tools.ts";

const refused = (why: string) => z.null({ error: why }).optional();
const NO_MEMORY = "this engine keeps no responses; send the whole conversation in input";
const isSchema = (value: unknown) => typeof value === "object" && value !== null && !Array.isArray(value);

const Item = z.looseObject({
  type: z.string().nullish(),
  role: z.string().nullish(),
  id: z.string().nullish(),
});
type Item = z.output<typeof Item>;
const Format = z.discriminatedUnion("type", [
  z.looseObject({ type: z.literal("text") }),
  z.looseObject({ type: z.literal("json_object") }),
  z.looseObject({
    type: z.literal("json_schema"),
    schema: z.custom<JsonSchema>(isSchema, { error: "must be an object" }),
  }),
]);
const ResponseBody = z.looseObject({
  ...sharedFields,
  ...thinkingFields,
  ...flatToolFields,
  input: z.union([z.string(), z.array(Item).min(1).max(2_000)], {
    error: "must be a text or a list of items",
  }),
  instructions: z.string().nullish(),
  max_output_tokens: z.int().min(1).max(1_000_000).nullish(),
  text: z
    .looseObject({
      format: Format.nullish(),
      verbosity: z.literal("medium", { error: "only medium is supported" }).nullish(),
    })
    .nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  /** All but the first are about items that no answer here has. */
  include: z
    .array(
      z.enum(
        [
          "message.output_text.logprobs",
          "reasoning.encrypted_content",
          "message.input_image.image_url",
          "file_search_call.results",
          "web_search_call.results",
          "web_search_call.action.sources",
          "computer_call_output.output.image_url",
          "code_interpreter_call.outputs",
        ],
        { error: "is not known" },
      ),
    )
    .nullish(),
  /** OpenAI's default is true. The answer says that it is not stored. */
  store: z.boolean().nullish(),
  truncation: z.literal("disabled", { error: "only disabled is supported" }).nullish(),
  background: z.literal(false, { error: "is not supported" }).nullish(),
  previous_response_id: refused(NO_MEMORY),
  conversation: refused(NO_MEMORY),
  prompt: refused("stored prompts are not supported; send input and instructions"),
  /** Limits OpenAI's own tools, of which an answer here calls none. */
  max_tool_calls: z.int().min(1).nullish(),
});
type ResponseBody = z.output<typeof ResponseBody>;

/** What the answer repeats of its request. */
export type ResponseRequest = Pick<
  ResponseBody,
  | "instructions"
  | "max_output_tokens"
  | "parallel_tool_calls"
  | "reasoning"
  | "text"
  | "tool_choice"
  | "tools"
> & { temperature: number; top_p: number; metadata: unknown };

export function parseResponse(
  body: unknown,
  headers: Headers,
  items: RememberedItems,
): ParsedRequest & { asked: ResponseRequest } {
  const fields = parseBody(ResponseBody, body, { fields: READ_FIELDS.chat, at: "/v1/chat/completions" });
  const common = readCommon({ ...fields, conversation: undefined }, headers);
  const schema = schemaOf(fields.text?.format);
  const checked = fields.check_schema === false ? undefined : schema;
  const messages = messagesOf(chatOf(fields, items), "input");
  const generation: Omit<Generation, "prompt"> = {
    ...common.generation,
    maxTokens: fields.max_output_tokens ?? undefined,
    schema,
    tools: flatTools(fields),
    topLogprobs: topLogprobsOf(fields),
  };
  const request = chatRequest(generation, messages, common.scheduling, thinkingBudgetOf(fields));
  return { ...common.request, checked, request, asked: askedOf(fields) };
}

function askedOf(fields: ResponseBody): ResponseRequest {
  const { instructions, max_output_tokens, parallel_tool_calls, reasoning, text, tool_choice, tools } =
    fields;
  const { temperature, top_p, metadata } = fields;
  return {
    ...{ instructions, max_output_tokens, parallel_tool_calls, reasoning, text, tool_choice, tools },
    ...{ temperature: temperature ?? 1, top_p: top_p ?? 1, metadata: metadata ?? {} },
  };
}

function schemaOf(format: NonNullable<ResponseBody["text"]>["format"]): JsonSchema | undefined {
  if (format?.type === "json_object") return { type: "object" };
  return format?.type === "json_schema" ? format.schema : undefined;
}

function topLogprobsOf({ include, top_logprobs }: ResponseBody): number | undefined {
  const isAsked = include?.includes("message.output_text.logprobs") ?? false;
  return isAsked || top_logprobs ? (top_logprobs ?? 0) : undefined;
}

// --- items as messages

function chatOf({ input, instructions }: ResponseBody, items: RememberedItems): ChatMessage[] {
  const system = instructions ? [{ role: "system", content: instructions }] : [];
  const given: Item[] = typeof input === "string" ? [{ role: "user", content: input }] : input;
  return given.reduce<ChatMessage[]>(
    (all, item, at) => withItem(all, items.resolved(item, `input.${at}`), `input.${at}`),
    system,
  );
}

const Output = z.looseObject({ call_id: z.string(), output: toolContent });
const Call = z.looseObject({ call_id: z.string(), name: z.string(), arguments: callArguments });

function withItem(all: ChatMessage[], item: Item, at: string): ChatMessage[] {
  const { type = "message" } = item;
  if (type === "message" || type === null) return [...all, messageOf(item, at)];
  // A thought belongs to the answer that it led to.
  if (type === "reasoning") return all;
  if (type === "function_call") return withCall(all, parseFields(Call, item, at));
  if (type === "function_call_output") {
    const { call_id, output } = parseFields(Output, item, at);
    return [...all, { role: "tool", content: output, tool_call_id: call_id }];
  }
  const known = "message, function_call, function_call_output, reasoning, item_reference";
  const shown = JSON.stringify(type.slice(0, 50));
  throw invalid(`${at}.type`, `${at}.type: ${shown} is not supported; items are ${known}.`);
}

function messageOf(item: Item, at: string): ChatMessage {
  if (typeof item.role === "string")
    return { role: item.role, content: item.content as ChatMessage["content"] };
  throw invalid(`${at}.role`, `${at}.role: is missing.`);
}

/** Calls that follow each other, or a text, are of one message. */
function withCall(
  all: ChatMessage[],
  { call_id, name, arguments: json }: z.output<typeof Call>,
): ChatMessage[] {
  const call = { id: call_id, function: { name, arguments: json } };
  const last = all.at(-1);
  if (last?.role !== "assistant") return [...all, { role: "assistant", content: null, tool_calls: [call] }];
  return [...all.slice(0, -1), { ...last, tool_calls: [...(last.tool_calls ?? []), call] }];
}
