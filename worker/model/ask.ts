// One question and its answer: as text, or as a value that fits a schema. The engine constrains the answer where it can. Every
// value is checked here anyway, and the model is asked once more when its answer does not fit, with the reason.
import type { z } from "zod";
import { KamadoError } from "../errors.ts";
import type { Ask } from "../job/handler.ts";
import { withoutMarks } from "../job/template-marks.ts";
import type { ChatAnswer } from "./engine-answer.ts";
import type { Chat } from "./engine-client.ts";
import { escapeInput, type Message, messagesOf } from "./prompt.ts";
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
  const text = withoutMarks(withoutThoughts(answer.text));
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

/** Lets the engine constrain the answer. Where the engine refuses the schema, the prompt asks for it in words. */
async function constrained(chat: Chat, request: Request, { schema }: Shape): Promise<ChatAnswer> {
  const json_schema = { name: "answer", strict: true, schema };
  try {
    return await chat({ ...request, response_format: { type: "json_schema", json_schema } });
  } catch (thrown) {
    if (!refusesSchema(thrown)) throw thrown;
    const [system, ...rest] = request.messages as [Message, ...Message[]];
    const withSchema = { ...system, content: `${system.content}\n${fitting(schema)}` };
    return chat({ ...request, messages: [withSchema, ...rest] });
  }
}

export const refusesSchema = (thrown: unknown): boolean =>
  thrown instanceof KamadoError &&
  thrown.code === "engine_rejected" &&
  /response_format|json_schema|schema|grammar|guided|structured/i.test(thrown.message);

// The schema, the reason and the answer may hold text from outside, so none of them may close the prompt's own block.
const fitting = (schema: JsonSchema) =>
  `Answer with JSON and nothing else. It has to fit this JSON schema: ${escapeInput(JSON.stringify(schema))}`;

async function fitOf(answer: ChatAnswer, shape: Shape): Promise<Fit> {
  const read = readJson(answer.text);
  const fit: Fit = read.is === "json" ? await check(read.value, shape) : { fits: false, reason: read.reason };
  if (fit.fits || !answer.cutOff) return fit;
  return { fits: false, reason: "The answer was cut off at its token limit; a shorter one is needed." };
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

function repairMessages(bad: string, reason: string, { schema }: Shape): Message[] {
  return [
    { role: "assistant", content: escapeInput(bad.slice(0, MAX_KEPT)) || "(nothing)" },
    { role: "user", content: `That answer cannot be used. ${escapeInput(reason)}\n${fitting(schema)}` },
  ];
}

const invalid = (reason: string, answer: string) =>
  new KamadoError("answer_invalid", `The model's answer cannot be used: ${reason}`, {
    detail: { modelAnswer: answer.slice(0, MAX_KEPT) },
  });
