// The fields that chat and plain completions have in common, and what a wrong one sounds like.
import { randomInt } from "node:crypto";
import { z } from "zod";
import { invalid, type Sampling } from "../generation/backend.ts";
import { INTERACTIVE } from "../scheduler/queue-order.ts";
import type { Question } from "../scheduler/scheduler.ts";

/** How many answers one request may ask for. */
const MAX_ANSWERS = 16;
const MAX_BIASES = 512;
const MAX_CONVERSATION = 128;

const number = (min: number, max: number) => z.number().min(min).max(max).nullish();
export const tokenCount = z.int().min(1).max(1_000_000).nullish();
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
type Common = z.output<z.ZodObject<typeof commonFields>>;

/** How a request wants to be answered. */
export type Wishes = { stream: boolean; includeUsage: boolean };
/** A request as it came in, checked for shape. */
export type Asked = { model: string | undefined; question: Question; wishes: Wishes };

export function wishesOf({ stream, stream_options }: Common): Wishes {
  return { stream: stream ?? false, includeUsage: stream_options?.include_usage ?? false };
}

export function stopOf({ stop }: Common): string[] {
  const list = typeof stop === "string" ? [stop] : (stop ?? []);
  return list.filter((text) => text !== "");
}

/** OpenAI's defaults: temperature 1, nothing cut off. Without a seed every answer is drawn anew. */
export function samplingOf(fields: Common): Sampling {
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

/** How many answers, and when they come to their turn. */
export function turnOf({ n, priority }: Common): Pick<Question, "count" | "rank"> {
  return { count: n ?? 1, rank: priority ?? INTERACTIVE };
}

/** The body's field goes before the header, which clients can set once for all their requests. */
export function conversationOf({ conversation }: Common, headers: Headers): string | undefined {
  const header = headers.get("x-conversation-id") ?? "";
  if (header.length > MAX_CONVERSATION)
    throw invalid("conversation", `x-conversation-id: may have at most ${MAX_CONVERSATION} characters.`);
  return (conversation ?? header) || undefined;
}

/** The body as `schema` has it, or a 400 that names the first field at fault. */
export function parseFields<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const param = path.length === 0 ? null : path.join(".");
  throw invalid(param, param === null ? `The body: ${message}.` : `${param}: ${message}.`, parsed.error);
}
