// The fields that chat and plain completions have in common, and what a wrong one sounds like.
import { randomInt } from "node:crypto";
import { z } from "zod";
import type { Sampling } from "../backend.ts";
import { invalid } from "../refuse.ts";

const number = (min: number, max: number) => z.number().min(min).max(max).nullish();
const positive = z.int().min(1).max(1_000_000).nullish();

export const commonFields = {
  model: z.string().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: positive,
  temperature: number(0, 2),
  top_p: number(0, 1),
  top_k: z.int().min(0).max(1_000_000).nullish(),
  seed: z.int().nullish(),
  stop: z.union([z.string().max(1_000), z.array(z.string().max(1_000)).max(16)]).nullish(),
  repetition_penalty: number(0.01, 10),
  n: z.literal(1, { error: "only 1 answer a request is supported" }).nullish(),
  // Known to OpenAI and meaningful, so that ignoring them would be a lie; 0 and empty are what clients send by habit.
  frequency_penalty: z.literal(0, { error: "is not supported; use repetition_penalty" }).nullish(),
  presence_penalty: z.literal(0, { error: "is not supported; use repetition_penalty" }).nullish(),
  logit_bias: z.strictObject({}, { error: "is not supported" }).nullish(),
};
type Common = z.output<z.ZodObject<typeof commonFields>>;

/** What both endpoints say about one request besides its prompt. */
export type Wishes = { stream: boolean; includeUsage: boolean };

export function wishesOf({ stream, stream_options }: Common): Wishes {
  return { stream: stream ?? false, includeUsage: stream_options?.include_usage ?? false };
}

export function stopOf({ stop }: Common): string[] {
  const list = typeof stop === "string" ? [stop] : (stop ?? []);
  return list.filter((text) => text !== "");
}

/** OpenAI's defaults: temperature 1, nothing cut off. Without a seed every answer is drawn anew. */
export function samplingOf(fields: Common): Sampling {
  return {
    temperature: fields.temperature ?? 1,
    topP: fields.top_p ?? 1,
    topK: fields.top_k ?? 0,
    seed: Math.abs(fields.seed ?? randomInt(2 ** 31)) % 2 ** 32,
    repetitionPenalty: fields.repetition_penalty ?? 1,
  };
}

/** The body as `schema` has it, or a 400 that names the first field at fault. */
export function parseFields<S extends z.ZodType>(schema: S, body: unknown): z.output<S> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  const param = path.length === 0 ? null : path.join(".");
  throw invalid(param, param === null ? `The body: ${message}.` : `${param}: ${message}.`, parsed.error);
}
