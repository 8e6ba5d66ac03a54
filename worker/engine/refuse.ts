// How the engine says no: errors with the field that is at fault, so that a client can show it.
import { KamadoError } from "../errors.ts";

/** A 400 that names the field. */
export function invalid(param: string | null, message: string, cause?: unknown): KamadoError {
  return new KamadoError("invalid_input", message, { cause, detail: { param } });
}

export function tooLong(promptTokens: number, contextSize: number): KamadoError {
  return new KamadoError(
    "context_length_exceeded",
    `The prompt has ${promptTokens} tokens; this model's context holds ${contextSize}, and the answer needs room too.`,
    { detail: { param: "messages", promptTokens, contextSize } },
  );
}

/** How many tokens an answer may have: what was asked for, and never more than the context holds. */
export function roomFor(promptTokens: number, contextSize: number, maxTokens: number | undefined): number {
  const room = contextSize - promptTokens;
  if (room < 1) throw tooLong(promptTokens, contextSize);
  return Math.min(maxTokens ?? room, room);
}
