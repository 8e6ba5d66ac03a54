// One question and its answer: as text, or as a value that fits a schema. The engine constrains the answer where it can. Every
// value is checked here anyway, and the model is asked once more when its answer does not fit, with the reason and in another way: the same
// request would bring the same answer.
import type { z } from "zod";
import { KamadoError } from "../errors.ts";
import type { Ask } from "../job/handler.ts";
import { withoutMarks } from "../job/template-marks.ts";
import type { ChatAnswer } from "./engine-answer.ts";
import type { Chat } from "./engine-client.ts";
import { escapeInput, type Message, messagesOf, schemaInWords } from "./prompt.ts";
import { readJson, withoutThoughts } from "./read-json.ts";
import { type Fit, foreignShape, type JsonSchema, type Shape, zodShape } from "./schema-fit.ts";

export type AnyAsk = Ask & { schema?: z.ZodType; jsonSchema?: JsonSchema };

const MAX_TOKENS = 1_024;
/** How much of an answer that cannot be used is kept, in characters. */
const MAX_KEPT = 4_000;

/** What becomes of answers: the model had to be asked again; one was cut off at its token limit. */
export type Note = { repaired(): void; truncated(): void };

/** Throws `answer_invalid` or `answer_repetitive` when the second answer does not fit either. */
export async function ask(chat: Chat, question: AnyAsk, note: Note): Promise<unknown> {
  if (question.schema) return askValue(chat, question, zodShape(question.schema), note);
  if (question.jsonSchema) return askValue(chat, question, await foreignShape(question.jsonSchema), note);
  return askText(chat, question, note);
}

const limitsOf = ({ maxTokens = MAX_TOKENS, temperature = 0 }: Ask) => ({
  max_tokens: maxTokens,
  temperature,
});

async function askText(chat: Chat, question: Ask, note: Note): Promise<string> {
  const answer = await chat({ messages: messagesOf(question), ...limitsOf(question) });
  if (answer.repeats) throw repetitive(answer.text);
  if (answer.cutOff) {
    note.truncated();
    question.onCutOff?.();
  }
  const text = withoutMarks(withoutThoughts(answer.text));
  if (text === "" && answer.cutOff) throw invalid("it was cut off before it came to an answer", answer.text);
  return text;
}

async function askValue(chat: Chat, question: Ask, shape: Shape, note: Note): Promise<unknown> {
  const request = { messages: messagesOf(question), ...limitsOf(question) };
  const first = await constrained(chat, request, shape);
  const read = await fitOf(first, shape);
  if (read.fits) return read.value;
  note.repaired();
  const second = await constrained(chat, repairOf(request, first, read.reason, shape), shape);
  const again = await fitOf(second, shape);
  if (again.fits) return again.value;
  if (second.cutOff && !second.repeats) note.truncated();
  throw second.repeats ? repetitive(second.text) : invalid(again.reason, second.text);
}

type Request = Parameters<Chat>[0];

/** Lets the engine constrain the answer. capabilities.ts finds another way where it cannot. */
function constrained(chat: Chat, request: Request, { schema }: Shape): Promise<ChatAnswer> {
  const json_schema = { name: "answer", strict: true, schema };
  return chat({ ...request, response_format: { type: "json_schema", json_schema } });
}

async function fitOf(answer: ChatAnswer, shape: Shape): Promise<Fit> {
  const read = readJson(answer.text);
  const fit: Fit = read.is === "json" ? await check(read.value, shape) : { fits: false, reason: read.reason };
  if (fit.fits || !answer.cutOff) return fit;
  return {
    fits: false,
    reason: answer.repeats
      ? "The answer only repeated itself; a short one is needed."
      : "The answer was cut off at its token limit; a shorter one is needed.",
  };
}

/** A value whose texts are all marks of the prompt is no answer, unless the schema itself has them. */
async function check(value: unknown, shape: Shape): Promise<Fit> {
  const texts = textsIn(value).filter((text) => text !== "");
  const schema = JSON.stringify(shape.schema);
  const isMark = (text: string) => withoutMarks(text) === "" && !schema.includes(JSON.stringify(text));
  if (texts.length > 0 && texts.every(isMark))
    return { fits: false, reason: "It repeats a mark of the prompt and says nothing." };
  return shape.check(value);
}

/** The strings in a value. Without recursion, because a model can nest a value more deeply than the stack allows. */
function textsIn(value: unknown): string[] {
  const texts: string[] = [];
  const left = [value];
  while (left.length > 0) {
    const one = left.pop();
    if (typeof one === "string") texts.push(one);
    else if (typeof one === "object" && one !== null) for (const part of Object.values(one)) left.push(part);
  }
  return texts;
}

/** A greedy model that is asked the same would answer the same. */
const REPAIR_TEMPERATURE = 0.5;

/**
 * The request with what was wrong. The bad answer stands in it, except one that ran on and on: it would only invite the model to go on
 * with it.
 */
function repairOf(
  request: Request,
  { text, cutOff }: ChatAnswer,
  reason: string,
  { schema }: Shape,
): Request {
  const bad = cutOff ? "(It did not come to an end.)" : escapeInput(text.slice(0, MAX_KEPT)) || "(nothing)";
  const why = `That answer cannot be used. ${escapeInput(reason)}\n${schemaInWords(schema)}`;
  const messages: Message[] = [
    ...request.messages,
    { role: "assistant", content: bad },
    { role: "user", content: why },
  ];
  return { ...request, messages, temperature: Math.max(request.temperature, REPAIR_TEMPERATURE) };
}

const repetitive = (answer: string) =>
  new KamadoError("answer_repetitive", "The model's answer only repeats itself.", {
    detail: { modelAnswer: answer.slice(0, MAX_KEPT) },
  });

const invalid = (reason: string, answer: string) =>
  new KamadoError("answer_invalid", `The model's answer cannot be used: ${reason}`, {
    detail: { modelAnswer: answer.slice(0, MAX_KEPT) },
  });
