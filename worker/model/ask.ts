// One question and its answer: as text, or as a value that fits a schema. The engine constrains the answer where it can. Every
// value is checked here anyway, and the model is asked once more when its answer does not fit, with the reason.
import type { z } from "zod";
import { KamadoError } from "../errors.ts";
import type { Ask } from "../job/handler.ts";
import type { ChatAnswer } from "./engine-answer.ts";
import type { Chat } from "./engine-client.ts";
import { escapeInput, type Message, messagesOf, schemaInWords } from "./prompt.ts";
import { readJson, withoutThoughts } from "./read-json.ts";
import { type Fit, foreignShape, type JsonSchema, type Shape, zodShape } from "./schema-fit.ts";

export type AnyAsk = Ask & { schema?: z.ZodType; jsonSchema?: JsonSchema };

const MAX_TOKENS = 1_024;
/** How much of an answer that cannot be used is kept, in characters. */
const MAX_KEPT = 4_000;

/** `onRepair` is called when the model has to be asked again. Throws `answer_invalid` when the second answer does not fit either. */
export async function ask(chat: Chat, question: AnyAsk, onRepair: () => void): Promise<unknown> {
  if (question.schema) return askValue(chat, question, zodShape(question.schema), onRepair);
  if (question.jsonSchema) return askValue(chat, question, await foreignShape(question.jsonSchema), onRepair);
  return askText(chat, question);
}

const limitsOf = ({ maxTokens = MAX_TOKENS, temperature = 0 }: Ask) => ({
  max_tokens: maxTokens,
  temperature,
});

async function askText(chat: Chat, question: Ask): Promise<string> {
  const answer = await chat({ messages: messagesOf(question), ...limitsOf(question) });
  const text = withoutThoughts(answer.text);
  if (text === "" && answer.cutOff) throw invalid("it was cut off before it came to an answer", answer.text);
  return text;
}

async function askValue(chat: Chat, question: Ask, shape: Shape, onRepair: () => void): Promise<unknown> {
  const request = { messages: messagesOf(question), ...limitsOf(question) };
  const first = await constrained(chat, request, shape);
  const read = await fitOf(first, shape);
  if (read.fits) return read.value;
  onRepair();
  const messages = [...request.messages, ...repairMessages(first.text, read.reason, shape)];
  const second = await constrained(chat, { ...request, messages }, shape);
  const again = await fitOf(second, shape);
  if (again.fits) return again.value;
  throw invalid(again.reason, second.text);
}

type Request = Parameters<Chat>[0];

/** Lets the engine constrain the answer. capabilities.ts finds another way where it cannot. */
function constrained(chat: Chat, request: Request, { schema }: Shape): Promise<ChatAnswer> {
  const json_schema = { name: "answer", strict: true, schema };
  return chat({ ...request, response_format: { type: "json_schema", json_schema } });
}

async function fitOf(answer: ChatAnswer, shape: Shape): Promise<Fit> {
  const read = readJson(answer.text);
  const fit: Fit = read.is === "json" ? await shape.check(read.value) : { fits: false, reason: read.reason };
  if (fit.fits || !answer.cutOff) return fit;
  return { fits: false, reason: "The answer was cut off at its token limit; a shorter one is needed." };
}

function repairMessages(bad: string, reason: string, { schema }: Shape): Message[] {
  return [
    { role: "assistant", content: escapeInput(bad.slice(0, MAX_KEPT)) || "(nothing)" },
    // The reason and the answer may hold text from outside too.
    { role: "user", content: `That answer cannot be used. ${escapeInput(reason)}\n${schemaInWords(schema)}` },
  ];
}

const invalid = (reason: string, answer: string) =>
  new KamadoError("answer_invalid", `The model's answer cannot be used: ${reason}`, {
    detail: { modelAnswer: answer.slice(0, MAX_KEPT) },
  });
