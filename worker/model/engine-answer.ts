// What an engine's answer means: a chat completion reduced to the fields that Kamado reads, or an error with one of our codes.
// Engines share the paths of OpenAI's API but hardly the form of their errors, so where the status does not decide, the words of
// the message do. Pure.
import { z } from "zod";
import { KamadoError, shapeOf } from "../errors.ts";
import { isThisMachine } from "../http/loopback.ts";
import { parseRetryAfter } from "../http/retry-after.ts";

const TokenLogprob = z.object({
  token: z.string(),
  logprob: z.number().nullish(),
  /** The token's own bytes: some tokens are half a character. */
  bytes: z.array(z.number()).nullish(),
});
export type TokenLogprob = z.output<typeof TokenLogprob>;
const ReadToken = TokenLogprob.extend({ top_logprobs: z.array(TokenLogprob).nullish() });
/** One position of the answer: the token that was chosen and the likeliest candidates. */
export type ReadToken = z.output<typeof ReadToken>;

const Completion = z.object({
  model: z.string().nullish(),
  choices: z.tuple(
    [
      z.object({
        message: z.object({ content: z.string().nullish() }),
        finish_reason: z.string().nullish(),
        // A number on vLLM where a stop token ended the answer.
        stop_reason: z.union([z.string(), z.number()]).nullish().catch(null),
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
  // llama-server reports cached tokens here as well.
  timings: z.object({ cache_n: z.number().nullish() }).nullish().catch(null),
});

export type ChatAnswer = {
  text: string;
  /** It ended because of max_tokens, or because it repeated itself. */
  cutOff: boolean;
  /** The engine ended it because it only repeated itself. */
  repeats?: true;
  /** Null when the engine gave no probabilities. */
  tokens: ReadToken[] | null;
  model: string | null;
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
};

export function readAnswer(body: string): ChatAnswer {
  const parsed = Completion.safeParse(parse(body));
  if (!parsed.success)
    throw new KamadoError(
      "engine_unavailable",
      `The engine's answer is not a chat completion: ${shapeOf(body)}.`,
    );
  const { choices, usage, timings, model } = parsed.data;
  const { message, finish_reason, stop_reason, logprobs } = choices[0];
  const repeats = [finish_reason, stop_reason].includes("repetition");
  const tokens = logprobs?.content ?? null;
  return {
    text: message.content ?? "",
    cutOff: finish_reason === "length" || repeats,
    ...(repeats && { repeats }),
    tokens: tokens?.some(({ top_logprobs: top }) => top && top.length > 0) ? tokens : null,
    model: model ?? null,
    promptTokens: usage?.prompt_tokens ?? 0,
    cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? timings?.cache_n ?? 0,
    completionTokens: usage?.completion_tokens ?? 0,
  };
}

type Headers = Record<string, string | string[] | undefined>;

const TOO_LONG =
  /context_length_exceeded|exceed_context_size|context (length|size|window)|maximum (model|context) length|longer than the maximum model/i;
const NO_MODEL =
  /model_not_found|model\b.*\b(not found|not exist|not loaded|not available)|no models? loaded/i;
const NO_PICTURES = /image input is not supported|mmproj|not (a )?multimodal|does not support images/i;

/** The error of an answer that is not 200. `redact` removes the token from the engine's message. */
export function refusal(
  status: number,
  headers: Headers,
  body: string,
  redact: (message: string) => string,
): KamadoError {
  const { message, type } = errorIn(body);
  const words = `${shorten(type)} ${shorten(message)}`;
  const text = `The engine answered ${status}: ${shorten(redact(message))}`;
  const detail = { httpStatus: status, retryAfterMs: retryAfterMs(headers) };
  if (status === 429) return new KamadoError("engine_busy", text, { detail });
  // Some servers answer 500 where a request can never succeed; to try that again would only repeat it.
  if (TOO_LONG.test(words)) return new KamadoError("context_length_exceeded", text, { detail });
  if (NO_PICTURES.test(words)) return new KamadoError("engine_rejected", text, { detail });
  if (type.includes("engine_died")) return new KamadoError("engine_died", text, { detail });
  if (status >= 500 || status === 408) return new KamadoError("engine_unavailable", text, { detail });
  if ((status === 404 || status === 400) && NO_MODEL.test(words))
    return new KamadoError("model_not_loaded", text, { detail });
  return new KamadoError("engine_rejected", text, { detail });
}

const NEEDS_MODEL =
  /(required|missing|provide|specif\w+|field).{0,40}\bmodel\b|\bmodel\b.{0,40}(required|missing|provided|specified)/i;

/** The error of a request that named no model, because the engine listed none. It may list one when the job is tried again. */
export function withoutModel(refused: KamadoError): KamadoError {
  if (refused.retry || !NEEDS_MODEL.test(refused.message)) return refused;
  return new KamadoError("engine_unavailable", refused.message, { cause: refused, detail: refused.detail });
}

/**
 * An open connection broke. On this machine that means that the engine died, perhaps because of the request. Over a network it
 * means nothing.
 */
const BROKEN = /^(UND_ERR_SOCKET|ECONNRESET|EPIPE)$/;

/** The error of a request without an answer. */
export function unreachable(base: string, cause: unknown): KamadoError {
  const { code = "", message } = cause as { code?: string; message?: string };
  const { host, hostname } = new URL(base);
  if (BROKEN.test(code) && isThisMachine(hostname.replaceAll(/[[\]]/g, "")))
    return new KamadoError("engine_died", `The engine at ${host} ended before it answered: ${code}.`, {
      cause,
    });
  const why =
    code === "UND_ERR_HEADERS_TIMEOUT" ? "it did not answer in time" : code || (message ?? "unknown");
  return new KamadoError("engine_unavailable", `The engine at ${host} cannot be reached: ${why}.`, { cause });
}

/** OpenAI, llama-server and vLLM: `{error: {message, type, code}}`. Ollama: `{error: "…"}`. Older vLLM: `{message, type}`. */
function errorIn(body: string): { message: string; type: string } {
  const fields = Object(parse(body)) as Record<string, unknown>;
  const error = fields.error ?? fields;
  if (typeof error === "string") return { message: error, type: "" };
  const { message, type, code } = error as Record<string, unknown>;
  return {
    message: typeof message === "string" ? message : body,
    type: [type, code].filter((one) => typeof one === "string").join(" "),
  };
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function shorten(message: string): string {
  const line = message.replaceAll(/\s+/g, " ").trim() || "nothing";
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}

/** OpenAI's own header counts in milliseconds and is the more exact one. */
function retryAfterMs(headers: Headers): number | undefined {
  const milliseconds = Number.parseFloat(String(headers["retry-after-ms"]));
  if (milliseconds >= 0) return milliseconds;
  const value = [headers["retry-after"]].flat()[0] ?? "";
  // Some engines answer with a fraction of a second, which the standard does not know.
  return /^\s*\d+\.\d+\s*$/.test(value) ? Number(value) * 1_000 : parseRetryAfter(value, Date.now());
}
