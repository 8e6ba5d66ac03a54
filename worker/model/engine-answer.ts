// A chat completion as it comes over the wire, reduced to what is read of it here. Pure.
import { z } from "zod";
import { KamadoError, shapeOf } from "../errors.ts";

const TokenLogprob = z.object({
  token: z.string(),
  logprob: z.number().nullish(),
  /** The token's own bytes: some tokens are half a character. */
  bytes: z.array(z.number()).nullish(),
});
export type TokenLogprob = z.output<typeof TokenLogprob>;
const ReadToken = TokenLogprob.extend({ top_logprobs: z.array(TokenLogprob).nullish() });
/** One position of the answer: the token that was taken and the likeliest ones it was taken from. */
export type ReadToken = z.output<typeof ReadToken>;

const Completion = z.object({
  model: z.string().nullish(),
  choices: z.tuple(
    [
      z.object({
        message: z.object({ content: z.string().nullish() }),
        finish_reason: z.string().nullish(),
        logprobs: z
          .object({ content: z.array(ReadToken).nullish() })
          .nullish()
          .catch(null),
      }),
    ],
    z.unknown(),
  ),
  usage: z
    .object({
      prompt_tokens: z.number().nullish(),
      completion_tokens: z.number().nullish(),
      prompt_tokens_details: z.object({ cached_tokens: z.number().nullish() }).nullish(),
    })
    .nullish(),
  // llama-server tells it here, too
  timings: z.object({ cache_n: z.number().nullish() }).nullish().catch(null),
});

export type ChatAnswer = {
  text: string;
  /** Cut off at max_tokens. */
  cutOff: boolean;
  /** Null when the engine gave no probabilities. */
  tokens: ReadToken[] | null;
  model: string | null;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
};

export function readAnswer(body: string): ChatAnswer {
  const parsed = Completion.safeParse(parseJson(body));
  if (!parsed.success)
    throw new KamadoError(
      "engine_unavailable",
      `The engine's answer is no chat completion: ${shapeOf(body)}.`,
    );
  const { choices, usage, timings, model } = parsed.data;
  const { message, finish_reason, logprobs } = choices[0];
  const tokens = logprobs?.content ?? null;
  return {
    text: message.content ?? "",
    cutOff: finish_reason === "length",
    tokens: tokens?.some(({ top_logprobs: top }) => top && top.length > 0) ? tokens : null,
    model: model ?? null,
    promptTokens: usage?.prompt_tokens ?? 0,
    cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? timings?.cache_n ?? 0,
    completionTokens: usage?.completion_tokens ?? 0,
  };
}

function parseJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}
