// POST /v1/completions, the way in: plain text to go on from, without a chat template.
import { z } from "zod";
import type { Generation } from "../generation/backend.ts";
import {
  type Asked,
  commonFields,
  conversationOf,
  parseFields,
  samplingOf,
  stopOf,
  turnOf,
  wishesOf,
} from "./request-fields.ts";

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

// OpenAI's default for this endpoint, and a mercy: plain text seldom ends by itself.
const DEFAULT_MAX_TOKENS = 16;

export function parseCompletion(body: unknown, headers: Headers): Asked {
  const fields = parseFields(CompletionBody, body);
  const generation: Generation = {
    prompt: { text: fields.prompt },
    maxTokens: fields.max_tokens ?? DEFAULT_MAX_TOKENS,
    sampling: samplingOf(fields),
    stop: stopOf(fields),
    schema: undefined,
    topLogprobs: fields.logprobs ?? undefined,
    conversation: conversationOf(fields, headers),
  };
  const question = { generation, ...turnOf(fields), thinkingBudget: 0 };
  return { model: fields.model ?? undefined, question, wishes: wishesOf(fields) };
}
