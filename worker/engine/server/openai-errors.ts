// Any thrown value as an HTTP error in OpenAI's shape: {"error": {message, type, code, param}}, status and headers.
import { type ErrorCode, type KamadoError, toKamadoError } from "../../errors.ts";

export type OpenAiError = { error: { message: string; type: string; code: string; param: string | null } };

type Shape = { status?: number; type: string; code?: string };
const INVALID = "invalid_request_error";
const SHAPES: Partial<Record<ErrorCode, Shape>> = {
  invalid_input: { type: INVALID, code: "invalid_value" },
  malformed_json: { type: INVALID },
  context_length_exceeded: { type: INVALID },
  model_not_loaded: { type: INVALID, code: "model_not_found" },
  body_too_large: { type: INVALID },
  // OpenAI answers every wrong field with a 400, pictures included.
  image_undecodable: { status: 400, type: INVALID },
  image_too_large: { status: 400, type: INVALID },
  unauthorized: { status: 401, type: "authentication_error", code: "invalid_api_key" },
  engine_busy: { type: "rate_limit_error" },
  engine_died: { type: "service_unavailable_error" },
  engine_unavailable: { type: "service_unavailable_error" },
  stopping: { type: "service_unavailable_error" },
};

/** `headers` has Retry-After when trying again helps. */
export function openAiError(thrown: unknown): {
  status: number;
  body: OpenAiError;
  headers: Record<string, string>;
} {
  const error = toKamadoError(thrown, "handler_failed");
  const { status = error.status, type = "server_error", code = error.code } = SHAPES[error.code] ?? {};
  const message = error.code === "handler_failed" ? "The engine failed; its log says why." : error.message;
  const body = { error: { message, type, code, param: error.detail?.param ?? null } };
  return { status, body, headers: retryHeaders(error, status) };
}

function retryHeaders({ detail }: KamadoError, status: number): Record<string, string> {
  if (status !== 429 && status !== 503) return {};
  return { "retry-after": String(Math.ceil((detail?.retryAfterMs ?? 1_000) / 1_000)) };
}
