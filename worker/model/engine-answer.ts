// What an engine's answer means: a chat completion reduced to the fields that Kamado reads, or an error with one of our codes.
// Engines share the paths of OpenAI's API but hardly the form of their errors, so where the status does not decide, the words of
// the message do. Pure.
import { z } from "zod";
import { KamadoError, shapeOf } from "../errors.ts";
import { isThisMachine } from "../http/loopback.ts";
import { parseRetryAfter } from "../http/retry-after.ts";
import { ReadToken, tokensOf } from "./answer-tokens.ts";

export type { ReadToken, TokenLogprob } from "./answer-tokens.ts";

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
    tokens: tokens?.some(({ top_logprobs: top }) => top && top.length > 0)
      ? tokensOf(tokens, message.content ?? "")
      : null,
    model: model ?? null,
    promptTokens: usage?.prompt_tokens ?? 0,
    cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? timings?.cache_n ?? 0,
    completionTokens: usage?.completion_tokens ?? 0,
  };
}

/** An answer that is passed on as a whole, and what of it is counted. `text` is what was written, where the tokens were not counted. */
export type Completed = Pick<
  ChatAnswer,
  "text" | "model" | "promptTokens" | "cachedTokens" | "completionTokens"
> & { answer: Record<string, unknown> };

const Counted = z.looseObject({
  choices: z.array(z.unknown()),
  model: z.string().nullish().catch(null),
  usage: z
    .object({
      prompt_tokens: z.number().nullish(),
      completion_tokens: z.number().nullish(),
      prompt_tokens_details: z.object({ cached_tokens: z.number().nullish() }).nullish(),
    })
    .nullish()
    .catch(null),
});

export function readCompleted(body: string): Completed {
  const parsed = Counted.safeParse(parse(body));
  if (!parsed.success)
    throw new KamadoError("engine_unavailable", `The engine's answer is not a completion: ${shapeOf(body)}.`);
  const { choices, model, usage } = parsed.data;
  return {
    answer: parsed.data,
    text: usage?.completion_tokens ? "" : JSON.stringify(choices),
    model: model ?? null,
    promptTokens: usage?.prompt_tokens ?? 0,
    cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
    completionTokens: usage?.completion_tokens ?? 0,
  };
}

type Headers = Record<string, string | string[] | undefined>;

const TOO_LONG =
  /context_length_exceeded|exceed_context_size|context (length|size|window)|maximum (model|context) length|longer than the maximum model/i;
const NO_MODEL =
  /model_not_found|model\b.*\b(not found|not exist|not loaded|not available)|repository not found|cached snapshot/i;
/** LM Studio, before a model was loaded: that is the server's state and not the job's fault. */
const NONE_LOADED = /no models? (is |are )?(currently )?loaded/i;
const LOAD_ONE =
  "Load a model in that server (LM Studio: `lms load`), or set KAMADO_MODEL to one that it loads when it is asked for.";
const NO_PICTURES =
  /mmproj|not (a )?multimodal|reads no pictures|images? (input )?((is|are) )?not supported|not support(ed)? .{0,20}(image|vision)|only 'text' content|allowed values: \['text'\]|missing data required for image/i;
/** A chat template or a server that takes a message for a text. Only where the request had a picture. */
const ONLY_TEXT = /can only concatenate str|unmarshal array|expected (a )?str(ing)?\b|must be (a )?string/i;
const SEE_PICTURES =
  "Run a model that reads pictures: in Kamado's own engine KAMADO_MODEL with its projector in KAMADO_MMPROJ; start another server with its projector too (llama-server: --mmproj).";

/** What the refused request had. */
type Asked = { pictures?: boolean };

/** The error of an answer that is not 200. `redact` removes the token from the engine's message. */
export function refusal(
  status: number,
  headers: Headers,
  body: string,
  redact: (message: string) => string,
  { pictures = false }: Asked = {},
): KamadoError {
  const { message, type, param } = errorIn(body);
  const words = `${shorten(type)} ${message.slice(0, MAX_WORDS)}`;
  const text = `The engine answered ${status}: ${shorten(redact(message))}`;
  const detail = {
    httpStatus: status,
    retryAfterMs: retryAfterMs(headers),
    param: fieldIn(status, words, param),
  };
  if (status === 429) return new KamadoError("engine_busy", text, { detail });
  // Some servers answer 500 where a request can never succeed; to try that again would only repeat it.
  if (TOO_LONG.test(words)) return new KamadoError("context_length_exceeded", text, { detail });
  if (NO_PICTURES.test(words) || (pictures && ONLY_TEXT.test(words)))
    return new KamadoError("engine_rejected", text, { detail, hint: SEE_PICTURES });
  if (type.includes("engine_died")) return new KamadoError("engine_died", text, { detail });
  if (status >= 500 || status === 408) return new KamadoError("engine_unavailable", text, { detail });
  if (NONE_LOADED.test(words)) return new KamadoError("engine_unavailable", text, { detail, hint: LOAD_ONE });
  if ((status === 404 || status === 400) && NO_MODEL.test(words))
    return new KamadoError("model_not_loaded", text, { detail });
  return new KamadoError("engine_rejected", text, { detail });
}

/** An error may repeat the whole request. */
const MAX_WORDS = 4_000;
const REFUSES =
  /not (supported|implemented|allowed|permitted|available|valid)|unsupported|(does not|doesn't|cannot) support|invalid|must be|should be|unknown|unrecognized|unexpected|validation|extra inputs|at most|less than|fail(ed|ure) to (parse|convert|compile|initialize)|parse error/i;
const FAILED =
  /out of memory|oom\b|alloc|cuda|metal\b|overload|timed? ?out|try again|temporar|loading|capacity|connection|busy/i;

/**
 * The field that a refusal is about. A server that failed (a status from 500 on) may speak of anything, so there the words must say that
 * it refuses, and not that it is out of memory or overloaded.
 */
function fieldIn(status: number, words: string, param: string): "response_format" | "logprobs" | undefined {
  if (status >= 500 && (!REFUSES.test(words) || FAILED.test(words))) return undefined;
  if (/logprobs/i.test(param)) return "logprobs";
  if (/response_format/.test(param)) return "response_format";
  if (/logprobs/i.test(words)) return "logprobs";
  return /response_format|json_schema|schema|grammar|guided|structured/i.test(words)
    ? "response_format"
    : undefined;
}

const NEEDS_MODEL =
  /(required|missing|provide|specif\w+|field).{0,40}\bmodel\b|\bmodel\b.{0,40}(required|missing|provided|specified)|model=None/i;

/** Whether the server refused a request because it named no model. */
export const needsModel = (refused: KamadoError) => !refused.retry && NEEDS_MODEL.test(refused.message);

/** The error of a request that could name no model. The server may list one when the job is tried again, or the owner may name one. */
export const withoutModel = (refused: KamadoError, listed: readonly string[]) =>
  withList("engine_unavailable", refused, listed);

/** The error of a request for a model that the server does not have. */
export const wrongModel = (refused: KamadoError, listed: readonly string[]) =>
  withList("model_not_loaded", refused, listed);

const MAX_LISTED = 20;

function withList(
  code: "engine_unavailable" | "model_not_loaded",
  refused: KamadoError,
  listed: readonly string[],
): KamadoError {
  const names = listed.slice(0, MAX_LISTED).join(", ");
  const which =
    listed.length > 0
      ? ` It lists ${listed.length} ${listed.length === 1 ? "model" : "models"}: ${names}.`
      : "";
  const hint =
    "Set KAMADO_MODEL, or the job's policy.model, to a model that this server has; GET /v1/models lists them.";
  return new KamadoError(code, `${refused.message}${which}`, {
    cause: refused,
    detail: refused.detail,
    hint,
  });
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

/**
 * OpenAI, llama-server and vLLM: `{error: {message, type, code, param}}`. Ollama, mlx-lm: `{error: "…"}`. Older vLLM: `{message, type}`.
 * Whatever else a server writes, like FastAPI's `{detail: […]}`, is read as it stands.
 */
function errorIn(body: string): { message: string; type: string; param: string } {
  const fields = Object(parse(body)) as Record<string, unknown>;
  const error = fields.error ?? fields;
  if (typeof error === "string") return { message: error, type: "", param: "" };
  const { message, type, code, param } = error as Record<string, unknown>;
  return {
    message: typeof message === "string" ? message : body,
    type: [type, code].filter((one) => typeof one === "string").join(" "),
    param: typeof param === "string" ? param : "",
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
