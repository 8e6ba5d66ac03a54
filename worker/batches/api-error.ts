// Errors of `/v1/files` and `/v1/batches` in OpenAI's shape, by which the official clients raise their own classes.
import { KamadoError, toKamadoError } from "../errors.ts";

/** A request that is refused. `param`: the field that is wrong. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly param: string | null;

  constructor(status: number, code: string, message: string, param: string | null = null) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
  }
}

type Shape = { message: string; type: string; param: string | null; code: string };

export function errorAnswer(thrown: unknown): { status: number; body: { error: Shape } } {
  if (thrown instanceof ApiError) {
    const { status, message, param, code } = thrown;
    return { status, body: { error: { message, type: "invalid_request_error", param, code } } };
  }
  const error = toKamadoError(thrown, "handler_failed");
  const isOurs = thrown instanceof KamadoError;
  const message = isOurs ? `${error.message} ${error.hint}` : "The worker failed; its log says why.";
  const code = isOurs ? error.code : "internal_error";
  return { status: error.status, body: { error: { message, type: "server_error", param: null, code } } };
}
