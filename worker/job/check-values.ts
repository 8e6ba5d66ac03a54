// Checks what goes into a handler and what comes out of it against the schemas of its kind, and names every wrong field. Pure.
import { z } from "zod";
import { describeIssues, type ErrorCode, KamadoError } from "../errors.ts";
import { parseSent } from "./parse-sent.ts";

/** The sender's input as its schema reads it, whatever serializer wrote it. Throws `invalid_input` with every wrong field named. */
export function checkInput(schema: z.ZodType, sent: unknown): unknown {
  const parsed = parseSent(schema, sent);
  if (parsed.success) return parsed.data;
  throw naming("input", "invalid_input", parsed.error, parsed.value);
}

/** The value as its schema reads it. Throws `output_invalid` with every wrong field named. */
export function checkOutput(schema: z.ZodType, value: unknown): unknown {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw naming("output", "output_invalid", parsed.error, value);
}

function naming(name: string, code: ErrorCode, { issues }: z.ZodError, value: unknown): KamadoError {
  const named = issues.map((issue) => ({ ...issue, path: [name, ...issue.path] }));
  return new KamadoError(code, describeIssues(new z.ZodError(named), { [name]: value }));
}
