// Checks answers against the part of their schema that a grammar cannot enforce (pattern, format, uniqueItems, not, …), and makes the
// request with which the model is asked once more. Running it is left to respond.ts.
import { KamadoError } from "../../errors.ts";
import { checkSchema, misfit } from "../../json-schema/checker.ts";
import { modernSchema } from "../../json-schema/modern.ts";
import type { Generation, JsonSchema, Message } from "../generation/backend.ts";
import { saysMore } from "../generation/json-schema-to-gbnf.ts";
import type { Answered } from "../scheduler/generate.ts";

/** Why an answer does not fit. */
export type Check = (text: string, answered: Answered) => Promise<string | undefined>;

/** Undefined when the grammar enforces all of the schema, or there is none. Throws `invalid_input` when it is none. */
export async function checkOf(schema: JsonSchema | undefined): Promise<Check | undefined> {
  const modern = schema === undefined ? true : modernSchema(schema);
  if (!saysMore(modern)) return undefined;
  const text = JSON.stringify(modern);
  await checkSchema(text);
  return async (answer, { finish }) => {
    const value = parsed(answer);
    // An answer that was cut off says so by its finish_reason. One that ends at a stop string is not complete either.
    if (finish !== "stop" || value === undefined) return undefined;
    return misfit(text, value);
  };
}

function parsed(answer: string): unknown {
  try {
    return JSON.parse(answer);
  } catch {
    return undefined;
  }
}

export const misfitError = (reason: string) =>
  new KamadoError("answer_invalid", `The answer does not fit the schema: ${reason}.`);

/** A greedy model that is asked the same would answer the same. */
const TEMPERATURE = 0.5;

/** The same request with the answer and what is wrong with it. A plain text has no place for that: only chance helps it. */
export function secondTry(generation: Generation, bad: string, reason: string): Generation {
  const { prompt, sampling } = generation;
  const temperature = Math.max(TEMPERATURE, sampling.temperature);
  const again = {
    ...generation,
    sampling: { ...sampling, temperature, seed: (sampling.seed + 1) % 2 ** 32 },
  };
  if ("text" in prompt) return again;
  const say = (role: Message["role"], text: string): Message => ({ role, parts: [{ type: "text", text }] });
  const why = `That answer cannot be used: ${reason}. Answer again, and keep to this JSON schema: ${JSON.stringify(generation.schema)}`;
  return {
    ...again,
    prompt: { ...prompt, messages: [...prompt.messages, say("assistant", bad), say("user", why)] },
  };
}
