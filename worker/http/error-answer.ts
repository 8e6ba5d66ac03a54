// The shape of every error of Kamado over HTTP: `{ "error": { "code", "message", "hint" } }`, with the status of its code.
import { toKamadoError } from "../errors.ts";

/** Whoever may ask again hears when. What is no error of Kamado's own tells nothing of itself. */
export function errorAnswer(thrown: unknown): Response {
  const { code, message, hint, status, retry, detail } = toKamadoError(thrown, "handler_failed");
  const answer = Response.json({ error: { code, message, hint } }, { status });
  const { retryAfterMs } = detail ?? {};
  if (retryAfterMs !== undefined || (retry && status !== 500))
    answer.headers.set("retry-after", String(Math.ceil((retryAfterMs ?? 1_000) / 1_000)));
  return answer;
}
